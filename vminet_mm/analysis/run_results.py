"""The accuracy that training runs reached, read from their work dirs.

A work dir holds what MMEngine writes there: the config as ``NAME.py``, checkpoints, and for each
start of the run a folder ``TIME/vis_data`` with the config and, in ``scalars.json``, a line for
each logged iteration and each validation. The starts which have the model of the latest one are
taken as one run that was resumed; where two validated the same epoch, the later start counts.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config


@dataclass(frozen=True)
class Score:
    """A validation.

    Attributes:
        step: Epoch, or iteration where the run is counted so, after which it was done.
        metrics: The values as the evaluator of the task names and scales them.
        checkpoint: The checkpoint of that step; None where it is no longer there.
    """

    step: int
    metrics: dict[str, float]
    checkpoint: Path | None


@dataclass(frozen=True)
class Run:
    """A training run.

    Attributes:
        folder: Its work dir.
        config: The config's name, without folder and ending.
        unit: ``'epoch'`` or ``'iter'``, what the steps count.
        length: Steps that the run was to have.
        scores: The validations in the order of their steps, at least one.
    """

    folder: Path
    config: str
    unit: str
    length: int
    scores: list[Score]

    @property
    def last(self) -> Score:
        """The last validation."""
        return self.scores[-1]

    def best(self, metric: str) -> Score | None:
        """The validation with the highest value of a metric, the later one of equal ones.

        None where the metric is not among the finite values of any validation.
        """
        scores = [s for s in self.scores if math.isfinite(s.metrics.get(metric, math.nan))]
        return max(scores, key=lambda s: (s.metrics[metric], s.step), default=None)


def train_length(cfg: Config) -> tuple[str, int]:
    """How long a config trains: ``('epoch', N)`` or ``('iter', N)``."""
    loop = cfg.train_cfg
    return ('epoch', loop.max_epochs) if loop.get('max_epochs') else ('iter', loop.max_iters)


def find_runs(work_dirs: str | Path) -> list[Run]:
    """The runs with a validation at any depth below a folder, sorted by their folders.

    A folder that does not exist has none. What is no run of MMEngine's is passed over.
    """
    starts: dict[Path, list[Path]] = {}
    for scalars in sorted(Path(work_dirs).rglob('vis_data/scalars.json')):
        starts.setdefault(scalars.parents[2], []).append(scalars)
    runs = [_read_run(folder, files) for folder, files in sorted(starts.items())]
    return [run for run in runs if run]


def _read_run(folder: Path, starts: list[Path]) -> Run | None:
    """The run of a work dir; None where it has no config, or was never validated."""
    configs = [_load(start.with_name('config.py')) for start in starts]
    name = _name_of(folder, starts[-1].with_name('config.py'))
    if configs[-1] is None or name is None:
        return None
    metrics = {
        line.pop('step'): line
        for start, cfg in zip(starts, configs, strict=True)
        # a folder may have been used for one model and then for another
        if cfg is not None and cfg.model == configs[-1].model
        for line in _validations(start)
    }
    if not metrics:
        return None
    unit, length = train_length(configs[-1])
    scores = [
        Score(step, metrics[step], _checkpoint_of(folder, unit, step)) for step in sorted(metrics)
    ]
    return Run(folder, name, unit, length, scores)


def _load(config: Path) -> Config | None:
    """The config that a start of a run has dumped; None where it has not, or does not train."""
    if not config.is_file():
        return None
    cfg = Config.fromfile(config, import_custom_modules=False)
    return cfg if cfg.get('train_cfg') and cfg.get('model') else None


def _name_of(folder: Path, dumped: Path) -> str | None:
    """The name of the config in a work dir; where there are several, that of the latest start."""
    configs = sorted(folder.glob('*.py'))
    if len(configs) > 1:
        text = dumped.read_text()
        configs = [config for config in configs if config.read_text() == text]
    return configs[0].stem if len(configs) == 1 else None


def _validations(scalars: Path) -> Iterator[dict]:
    """The lines of a scalars file that a validation wrote; those of the training have a rate."""
    for text in scalars.read_text().splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:  # a killed run leaves half a line
            continue
        # step 0: validated without training
        if 'lr' not in line and 'loss' not in line and line.get('step', 0) > 0:
            yield line


def _checkpoint_of(folder: Path, unit: str, step: int) -> Path | None:
    """The checkpoint saved after a step, that of the best value first."""
    name = f'{unit}_{step}.pth'
    candidates = [*sorted(folder.glob(f'best_*_{name}')), folder / name]
    return next((path for path in candidates if path.is_file()), None)
