"""What MMEngine has logged of a training run, which may be under way or was resumed.

A work dir holds, for each start of its run, ``TIME/vis_data`` with the config and, in
``scalars.json``, a line for each logged iteration and each validation. The starts that have the
model of the latest one are one run: from where a later start begins, it counts.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmengine.config import Config

from ..errors import ConfigError

SCALARS = 'vis_data/scalars.json'
TRAINING_KEYS = ('iter', 'lr', 'loss')  # a line of a validation has none of them
TIMES = ('time', 'data_time')  # beside the metrics of a validation


@dataclass(frozen=True)
class Start:
    """A start of a run.

    Attributes:
        scalars: Its file of scalars.
    """

    scalars: Path

    @property
    def config_file(self) -> Path:
        """What the start has dumped of its config; it may be missing."""
        return self.scalars.with_name('config.py')

    @cached_property
    def cfg(self) -> Config | None:
        """The config, or None where it was not dumped.

        Raises:
            ConfigError: If it cannot be read.
        """
        if not self.config_file.is_file():
            return None
        try:
            return Config.fromfile(self.config_file, import_custom_modules=False)
        except (OSError, RuntimeError, SyntaxError, ValueError) as error:
            raise ConfigError(f'{self.config_file} cannot be read as a config: {error}') from error

    def text(self) -> str:
        """What was logged as text; empty where it is gone."""
        logs = sorted(self.scalars.parents[1].glob('*.log'))
        return logs[-1].read_text('utf-8', errors='replace') if logs else ''

    def lines(self) -> list[dict]:
        """The lines of the scalars."""
        return list(_lines(self.scalars))


@dataclass(frozen=True)
class RunLog:
    """The log of a run.

    Attributes:
        starts: The starts that have the model of the latest one, in the order of time.
        training: The line of each logged iteration by ``step``, the iteration.
        validations: The line of each validation by ``step``, the epoch or iteration.
    """

    starts: list[Start]
    training: list[dict]
    validations: list[dict]


def find_starts(folder: Path) -> list[Start]:
    """The starts in a work dir, or the one whose folder is given, in the order of time."""
    files = sorted(folder.glob(f'*/{SCALARS}')) or sorted(folder.glob(SCALARS))
    return [Start(file) for file in files]


def read_log(starts: Sequence[Start]) -> RunLog:
    """Read and join the starts of a run, at least one, in the order of time.

    Raises:
        ConfigError: If a config cannot be read.
    """
    models = [start.cfg.get('model') if start.cfg else None for start in starts]
    # a folder may have been used for one model and then for another
    own = [start for start, model in zip(starts, models, strict=True) if model == models[-1]]
    training: list[dict] = []
    validations: list[dict] = []
    for start in own:
        lines = start.lines()
        _extend(training, [line for line in lines if _is_training(line)])
        _extend(validations, [line for line in lines if not _is_training(line)])
    return RunLog(own, training, validations)


def _is_training(line: dict) -> bool:
    return any(key in line for key in TRAINING_KEYS)


def _extend(joined: list[dict], lines: list[dict]) -> None:
    """Add the lines of a later start; what was known from its first step on was done again."""
    if lines:
        joined[:] = [line for line in joined if line['step'] < lines[0]['step']] + lines


def _lines(file: Path) -> Iterator[dict]:
    """The lines of a log that hold a step."""
    for text in file.read_text('utf-8').splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:  # a killed run leaves half a line
            continue
        if isinstance(line, dict) and 'step' in line:
            yield line
