"""Our numbers for the paper's tables.

Facts come from the code, parameters and MACs are counted, accuracy is read from finished runs, and
latency from the output of the benchmark. Every function changes the tables in place.
"""

import json
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from ..models import VMINet
from ..tasks import CLASSIFICATION
from .complexity import Complexity, count_complexity
from .paper_tables import Column, Row, Table
from .published import NEUTRAL
from .run_results import Run, train_length

NOT_TRAINED = 'not trained yet'


def fill_facts(tables: list[Table], configs: Path) -> None:
    """Fill in the widths, depths and expansion of our architectures."""
    for table, row in _rows_of(tables):
        if row.config and table.of_kind('fact'):
            arch = VMINet.arch_settings[Config.fromfile(configs / row.config).model.backbone.arch]
            row.ours.update(
                widths=[arch['base_channels'] * 2**i for i in range(len(arch['depths']))],
                depths=list(arch['depths']),
                expansion=arch['expansion'],
            )


def fill_counts(
    tables: list[Table], configs: Path, peers: bool, progress: Callable[[str], None]
) -> None:
    """Count parameters and MACs, at the row's size or else that of :attr:`.Task.image_size`.

    A model that cannot be built here, for want of a package or a config, gets a note.
    """
    counted: dict[str, Complexity | Exception] = {}
    for table, row in _rows_of(tables):
        source = row.config or (row.measure if peers else '')
        if not source or not table.of_kind('count'):
            continue
        key = f'{source} {row.changes} {row.size}'
        if key not in counted:
            progress(f'Table {table.number}: counting {row.model} ({source})')
            try:
                shape = (row.size, row.size) if row.size else None
                counted[key] = count_complexity(_config_of(row, configs), shape)
            except (ImportError, OSError) as error:
                counted[key] = error
        counts = counted[key]
        if isinstance(counts, Exception):
            row.notes.append(f'not counted: {counts}')
            continue
        row.ours.update(params=counts.params / 1e6, macs=counts.macs / 1e9)
        if counts.authors_macs is not None:
            row.notes.append(f'FLOPs as papers count: {counts.authors_macs / 1e9:.2f} G')
        attention = [op for op in counts.uncounted if 'attention' in op]
        if attention:
            row.notes.append(f'FLOPs without {", ".join(attention)}')


def _config_of(row: Row, configs: Path) -> Config:
    """The config of a row's model."""
    if row.own_config:
        return Config.fromfile(configs / row.own_config)
    package, name = row.measure.split('::')
    if package == 'timm':
        model = dict(type='TimmClassifier', model_name=name, pretrained=False)
        return Config(dict(default_scope=CLASSIFICATION.scope, model=model))
    cfg = Config.fromstring(f"_base_ = ['{row.measure}']", '.py')
    cfg.merge_from_dict(dict(model=deepcopy(row.changes)))
    return cfg


def fill_accuracy(tables: list[Table], runs: list[Run], configs: Path) -> None:
    """Fill in what models of our configs reached.

    That is the best validation of a run as long as the config says, by the first accuracy of the
    table. Of several such runs the best one counts; of those that stopped before, or were made
    shorter, the row gets a note.
    """
    for table, row in _rows_of(tables):
        columns = table.of_kind('accuracy')
        candidates = [run for run in runs if run.config == Path(row.own_config).stem]
        if not columns or not candidates:
            continue
        metric = columns[0].metric
        unit, length = train_length(Config.fromfile(configs / row.own_config))
        whole = [
            run
            for run in candidates
            if run.unit == unit and run.last.step >= length and run.best(metric)
        ]
        if not whole:
            run = max(candidates, key=lambda run: run.last.step)
            row.notes.append(
                f'{NOT_TRAINED}: {run.folder} ends at {run.unit} {run.last.step} of {length}'
            )
            continue
        run = max(whole, key=lambda run: run.best(metric).metrics[metric])
        _take_run(row, run, metric, columns)


def _take_run(row: Row, run: Run, metric: str, columns: list[Column]) -> None:
    """Put a run's accuracy, and where it is from, into a row."""
    row.run = dict(folder=str(run.folder), config=f'{run.config}.py', unit=run.unit)
    for name, score in (('best', run.best(metric)), ('last', run.last)):
        values = {
            column.name: score.metrics[column.metric] * column.scale
            for column in columns
            if column.metric in score.metrics
        }
        checkpoint = score.checkpoint and str(score.checkpoint)
        row.run[name] = dict(step=score.step, checkpoint=checkpoint, **values)
        if name == 'best':
            row.ours.update(values)


@dataclass(frozen=True)
class Timing:
    """A forward pass at 224 x 224 that the benchmark has timed.

    Attributes:
        spec: The model as the benchmark names it.
        milliseconds: Of one batch, the median.
        conditions: Device, batch and number format.
    """

    spec: str
    milliseconds: float
    conditions: str

    @property
    def model(self) -> str:
        """The spec without the options that change no result."""
        name, _, options = self.spec.partition(':')
        kept = [o for o in options.split(',') if o and o.split('=')[0] not in ('deploy', *NEUTRAL)]
        return ':'.join([name, ','.join(kept)]) if kept else name


def read_benchmark(path: str | Path) -> list[Timing]:
    """Read what ``tools/analysis_tools/benchmark.py --json`` wrote.

    Raises:
        ValueError: If the file is none of these.
    """
    try:
        data = json.loads(Path(path).read_text())
        settings, device = data['settings'], data['environment']['device']
        number_format = settings['dtype'] + (', compiled' if settings.get('compile') else '')
        return [
            Timing(
                row['model'],
                row['milliseconds'],
                f'{device}, batch {row["batch"]}, {number_format}',
            )
            for row in data['rows']
            if row['mode'] == 'infer' and tuple(row['size']) == (224, 224)
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is not what benchmark.py --json writes: {error!r}') from error


def fill_latency(tables: list[Table], timings: list[Timing]) -> None:
    """Fill in latency; of several variants of a model (folded or not) the fastest counts.

    The device is not the paper's, therefore what compares are ratios; a note of the table has
    those of the other models to the first of ours.
    """
    for table in tables:
        for row in table.rows if table.of_kind('latency') else ():
            own = [timing for timing in timings if row.benchmark and timing.model == row.benchmark]
            if own:
                fastest = min(own, key=lambda timing: timing.milliseconds)
                row.ours['latency'] = fastest.milliseconds
                row.notes.append(f'{fastest.spec} on {fastest.conditions}')
        both = [row for row in table.rows if 'latency' in row.ours and 'latency' in row.paper]
        first = next((row for row in both if row.config), None)
        for row in both if first else ():
            paper = row.paper['latency'] / first.paper['latency']
            ours = row.ours['latency'] / first.ours['latency']
            if row is not first:
                table.notes.append(
                    f'{row.model} over {first.model}: {paper:.2f} in the paper, {ours:.2f} here'
                )


def _rows_of(tables: list[Table]) -> Iterable[tuple[Table, Row]]:
    return ((table, row) for table in tables for row in table.rows)
