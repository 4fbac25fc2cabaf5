"""Reading a work dir: its config, starts, metrics, environment and tables by class."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mmengine.config import Config

from ...analysis.run_log import SCALARS, TIMES, Start, find_starts, read_log
from ...analysis.run_results import Run, find_runs
from ...errors import ConfigError
from ...tasks import MAIN_METRICS

# of the tables that the evaluators of mmdet and mmseg log
NAME_COLUMNS = ('category', 'Class')
TABLE_TITLES = {'bbox': 'boxes', 'segm': 'masks'}
# the first that a run has says which of its validations is the best
FIRST_METRICS = (*MAIN_METRICS, 'mAcc', 'aAcc')


@dataclass(frozen=True)
class ClassTable:
    """Values by class.

    Attributes:
        title: What is measured, where a run measures several things; else empty.
        columns: The names of the values.
        rows: For each class its name and its values in per cent; None is no value.
    """

    title: str
    columns: list[str]
    rows: list[tuple[str, list[float | None]]]


@dataclass(frozen=True)
class WorkDir:
    """A work dir as MMEngine writes it.

    Attributes:
        folder: The folder.
        config_file: What the latest start has dumped of its config.
        cfg: The same, read.
        starts: How often the run was started.
        began: When it was started first; None where no log says so.
        seconds: How long it ran, all starts together.
        training: What each logged iteration says, in the order of its ``step``, the iteration.
        run: The validations; None where there is none yet.
        environment: What the latest start logged of machine and software, by name.
        tables: Values by class of the last validation that logged them.
    """

    folder: Path
    config_file: Path
    cfg: Config
    starts: int
    began: datetime | None
    seconds: float
    training: list[dict]
    run: Run | None
    environment: dict[str, str]
    tables: list[ClassTable]

    def checkpoint(self) -> Path:
        """The checkpoint of the best validation; where it is gone or there is none, the newest.

        Raises:
            ConfigError: If there is no checkpoint at all.
        """
        names = metric_names(self.run)  # none where the model found no object at all
        best = self.run.best(names[0]) if names else None
        if best and best.checkpoint:
            return best.checkpoint
        found = sorted(self.folder.glob('*.pth'), key=lambda path: path.stat().st_mtime)
        if not found:
            raise ConfigError(f'there is no checkpoint in {self.folder}')
        return found[-1]


def metric_names(run: Run | None, others: Iterable[str] = ()) -> list[str]:
    """The names of a run's metrics and of others, the main ones first; not those of one class."""
    logged = [name for score in (run.scores if run else ()) for name in score.metrics]
    names = [name for name in dict.fromkeys([*logged, *others]) if name not in TIMES]
    names = [n for n in names if not (n.startswith('coco/') and n.endswith('_precision'))]
    first = [n for n in FIRST_METRICS if n in names]
    return [*first, *(n for n in names if n not in first)]


def read_work_dir(folder: str | Path) -> WorkDir:
    """Read a work dir.

    Of starts with different models those count that have the model of the latest one.

    Raises:
        ConfigError: If it is not a work dir, or nothing was logged in it yet.
    """
    folder = Path(folder)
    starts = _find_starts(folder)
    latest = starts[-1]
    if latest.cfg is None:
        raise ConfigError(
            f'{latest.config_file} is missing: the config that the run was started with; '
            'without it the model of the logs is unknown'
        )
    if not latest.cfg.get('train_cfg') or not latest.cfg.get('model'):
        raise ConfigError(
            f'{latest.config_file} does not train a model: there is nothing to report'
        )
    log = read_log(starts)
    logs = [start.text() for start in log.starts]
    spans = [span for span in map(_span, logs) if span]
    return WorkDir(
        folder=folder,
        config_file=latest.config_file,
        cfg=latest.cfg,
        starts=len(log.starts),
        began=spans[0][0] if spans else None,
        seconds=sum((end - begin).total_seconds() for begin, end in spans),
        training=log.training,
        run=next((run for run in find_runs(folder) if run.folder == folder), None),
        environment=read_environment(logs[-1]),
        tables=read_class_tables('\n'.join(logs)),
    )


def _find_starts(folder: Path) -> list[Start]:
    """The starts of a work dir, of which there must be one."""
    if not folder.is_dir():
        raise ConfigError(f'there is no folder {folder}')
    starts = find_starts(folder)
    if starts:
        return starts
    if any(folder.glob('*/vis_data/config.py')):
        raise ConfigError(
            f'{folder} has no logs yet: no TIME/{SCALARS}; '
            'the first line comes after default_hooks.logger.interval iterations'
        )
    below = sorted({path.parents[2] for path in folder.rglob(SCALARS)})
    hint = f'; did you mean {", ".join(map(str, below[:3]))}?' if below else ''
    raise ConfigError(
        f'{folder} is not a work dir: vminet_mm train writes TIME/{SCALARS} into one{hint}'
    )


def _span(log: str) -> tuple[datetime, datetime] | None:
    """The times of the first and the last line of a log."""
    times = re.findall(r'^(\d{4}/\d\d/\d\d \d\d:\d\d:\d\d) - ', log, re.MULTILINE)
    if not times:
        return None
    return tuple(datetime.strptime(times[k], '%Y/%m/%d %H:%M:%S') for k in (0, -1))


def read_environment(log: str) -> dict[str, str]:
    """What a log of MMEngine says of machine and software at its top; empty if it does not."""
    block = log.partition('System environment:')[2].split('-' * 60)[0]
    pairs = re.findall(r'^ {4}(\S[^:\n]*): *(.*)$', block, re.MULTILINE)
    return {name: value for name, value in pairs if name != 'PyTorch compiling details'}


def read_class_tables(log: str) -> list[ClassTable]:
    """The tables by class that mmdet's and mmseg's evaluators log, of each kind the last one."""
    tables: dict[str, ClassTable] = {}
    kind, table = '', None
    for line in log.splitlines():
        if evaluating := re.search(r'Evaluating (\w+)\.\.\.', line):
            kind = evaluating[1]
        if not line.startswith('|'):
            table = table if line.startswith('+') else None
        elif table is None:
            name, *columns = (cell.strip() for cell in line.strip('|').split('|'))
            if name in NAME_COLUMNS:
                scale = 100 if name == 'category' else 1  # COCO's are from 0 to 1
                table = tables[kind] = ClassTable(TABLE_TITLES.get(kind, kind), columns, [])
        else:
            name, *cells = line.strip('|').rsplit('|', len(table.columns))
            values = [scale * float(cell) for cell in cells]
            table.rows.append((name.strip(), [v if v == v else None for v in values]))
    return list(tables.values())
