"""The accuracy that training runs reached, read from their work dirs.

A work dir holds what MMEngine writes there: the config as ``NAME.py``, checkpoints, and the logs
that :mod:`.run_log` reads.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from .run_log import SCALARS, find_starts, read_log


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

    A folder that does not exist has none. Folders without a run of MMEngine are skipped.
    """
    folders = {scalars.parents[2] for scalars in Path(work_dirs).rglob(SCALARS)}
    runs = [_read_run(folder) for folder in sorted(folders)]
    return [run for run in runs if run]


def _read_run(folder: Path) -> Run | None:
    """The run of a work dir; None where it has no config, or was never validated."""
    log = read_log(find_starts(folder))
    latest = log.starts[-1]
    name = _name_of(folder, latest.config_file) if _trains(latest.cfg) else None
    if name is None:
        return None
    unit, length = train_length(latest.cfg)
    scores = [
        Score(line['step'], _metrics(line), _checkpoint_of(folder, unit, line['step']))
        for line in log.validations
        if line['step'] > 0  # else validated without training
    ]
    return Run(folder, name, unit, length, scores) if scores else None


def _trains(cfg: Config | None) -> bool:
    """Whether a run's config trains."""
    return cfg is not None and bool(cfg.get('train_cfg') and cfg.get('model'))


def _metrics(line: dict) -> dict[str, float]:
    return {key: value for key, value in line.items() if key != 'step'}


def _name_of(folder: Path, dumped: Path) -> str | None:
    """The name of the config in a work dir; where there are several, that of the latest start."""
    configs = sorted(folder.glob('*.py'))
    if len(configs) > 1:
        text = dumped.read_text('utf-8')
        configs = [config for config in configs if config.read_text('utf-8') == text]
    return configs[0].stem if len(configs) == 1 else None


def _checkpoint_of(folder: Path, unit: str, step: int) -> Path | None:
    """The checkpoint saved after a step, that of the best value first."""
    name = f'{unit}_{step}.pth'
    candidates = [*sorted(folder.glob(f'best_*_{name}')), folder / name]
    return next((path for path in candidates if path.is_file()), None)
