"""One self-contained HTML file that shows a run."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from ...analysis.our_numbers import fill_accuracy
from ...analysis.paper_tables import Column, Row, read_tables
from ...analysis.run_results import Run, train_length
from ...tasks import SCOPES
from ...version import __version__
from .curves import LINES, Chart, make_chart
from .predictions import Predictions
from .work_dir import FIRST_METRICS, WorkDir, metric_names

TEMPLATE = Path(__file__).with_name('page.html.jinja')
UNITS = {'epoch': 'epoch', 'iter': 'iteration'}
COCO_SCALE = 100  # its values are from 0 to 1; papers have per cent
MAX_CURVES = len(LINES)  # of a chart; the page has as many colors


@dataclass(frozen=True)
class Metric:
    """A value of the validation in the page's unit, as text."""

    name: str
    last: str
    best: str
    best_step: int | None
    now: str


@dataclass(frozen=True)
class PaperNumber:
    """A number of the paper and ours beside it, as text.

    Attributes:
        table: Number of the paper's table.
        model: The paper's name.
        quantity: What the number is, with its unit.
        paper: The paper's number.
        ours: That of the run's best validation.
        deviation: How far ours is above it; empty where they do not compare.
        notes: What is to be said of it.
    """

    table: int
    model: str
    quantity: str
    paper: str
    ours: str
    deviation: str
    notes: list[str]


def write_report(
    path: str | Path,
    work: WorkDir,
    configs: str | Path,
    predictions: Predictions | None = None,
    remark: str = '',
) -> Path:
    """Write the page of a run; the length of the paper's runs is that of the shipped configs.

    The remark says why there are no predictions.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    scope = work.cfg.get('default_scope')
    page = environment.from_string(TEMPLATE.read_text()).render(
        work=work,
        run=work.run,
        name=work.run.config if work.run else work.folder.resolve().name,
        task=SCOPES[scope].name if scope in SCOPES else 'training',
        progress=progress(work),
        unit=UNITS[work.run.unit] if work.run else '',
        headline=headline(work.run),
        charts=make_charts(work),
        metrics=make_metrics(work.run, predictions),
        paper=beside_paper(work.run, Path(configs)) if work.run else [],
        tables=work.tables or (predictions.tables if predictions else []),
        tables_are_of_log=bool(work.tables),
        predictions=predictions,
        remark=remark,
        config=work.cfg.pretty_text,
        version=__version__,
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding='utf-8')
    return path


def progress(work: WorkDir) -> str:
    """The progress of the run and its duration."""
    unit, length = train_length(work.cfg)
    last = work.training[-1] if work.training else {}
    done = last.get('epoch' if unit == 'epoch' else 'step', 0)
    if work.run:
        done = max(done, work.run.last.step)
    parts = [f'{UNITS[unit]} {done} of {length}']
    if work.seconds:
        hours, rest = divmod(round(work.seconds), 3600)
        parts.append(f'{hours} h {rest // 60} min' if hours else f'{rest // 60} min {rest % 60} s')
    if work.began:
        parts.append(f'started {work.began:%Y-%m-%d %H:%M}')
    if work.starts > 1:
        parts.append(f'{work.starts} starts')
    return ', '.join(parts)


def in_page_unit(name: str, value: float | None) -> str:
    """A metric as text; COCO's in per cent, where -1 stands for no such objects."""
    if value is not None and name.startswith('coco/'):
        value = math.nan if value == -1 else COCO_SCALE * value
    return '-' if value is None or not math.isfinite(value) else f'{value:.2f}'


def headline(run: Run | None) -> list[tuple[str, str, int]]:
    """The best values of the main metrics: name, value and step."""
    found = []
    for name in metric_names(run):
        best = run.best(name)
        if name in FIRST_METRICS and best:
            found.append((name, in_page_unit(name, best.metrics[name]), best.step))
    return found[:3]


def make_metrics(run: Run | None, predictions: Predictions | None) -> list[Metric]:
    """The metrics of the last and the best validation, and those computed for the page."""
    now = predictions.metrics if predictions else {}
    last = run.last.metrics if run else {}
    rows = []
    for name in metric_names(run, now):
        best = run.best(name) if run else None
        rows.append(
            Metric(
                name=name,
                last=in_page_unit(name, last.get(name)),
                best=in_page_unit(name, best and best.metrics[name]),
                best_step=best.step if best else None,
                now=in_page_unit(name, now.get(name)),
            )
        )
    return rows


def beside_paper(run: Run, configs: Path) -> list[PaperNumber]:
    """The accuracies that the paper has for a run's config; empty for a config of ours alone."""
    tables = read_tables()
    fill_accuracy(tables, [run], configs)
    return [
        _paper_number(table.number, row, column, run)
        for table in tables
        for row in table.rows
        if Path(row.config).stem == run.config
        for column in table.of_kind('accuracy')
        if column.name in row.paper
    ]


def _paper_number(table: int, row: Row, column: Column, run: Run) -> PaperNumber:
    best = run.best(column.metric)
    ours = f'{best.metrics[column.metric] * column.scale:.{column.digits}f}' if best else '-'
    deviation = row.deviation(column)
    return PaperNumber(
        table=table,
        model=row.model,
        quantity=f'{column.title} ({column.unit})',
        paper=column.as_printed(row.paper[column.name]),
        ours=ours,
        deviation='' if deviation is None else f'{deviation:+.1f} %',
        notes=row.notes,
    )


def make_charts(work: WorkDir) -> list[Chart]:
    """The curves of training and validation; those without a value are left out."""
    names = list(dict.fromkeys(name for line in work.training for name in line))
    parts = [name for name in names if 'loss' in name and name != 'loss']
    charts = [
        *_validation_charts(work.run),
        make_chart('Loss', 'iteration', _curves(work, ['loss'])),
        # one part is the loss itself
        *_grouped('Parts of the loss', work, parts if len(parts) > 1 else []),
        *_grouped('Accuracy in training', work, [n for n in names if 'acc' in n.split('.')[-1]]),
        make_chart('Learning rate', 'iteration', _curves(work, ['lr'])),
        make_chart('Norm of the gradient', 'iteration', _curves(work, ['grad_norm'])),
    ]
    return [chart for chart in charts if chart]


def _curves(work: WorkDir, names: Iterable[str]) -> dict[str, list[tuple[float, float]]]:
    return {
        name: [(line['step'], line[name]) for line in work.training if name in line]
        for name in names
    }


def _grouped(title: str, work: WorkDir, names: list[str]) -> Iterator[Chart | None]:
    """Charts of as many curves as there are colors."""
    for k in range(0, len(names), MAX_CURVES):
        yield make_chart(title, 'iteration', _curves(work, names[k : k + MAX_CURVES]))


def _validation_charts(run: Run | None) -> Iterator[Chart | None]:
    names = metric_names(run)
    names = [name for name in names if not name.endswith(('_s', '_m', '_l'))][:MAX_CURVES]
    series = {
        name: [
            (score.step, math.nan if text == '-' else float(text))
            for score in run.scores
            if name in score.metrics
            for text in [in_page_unit(name, score.metrics[name])]
        ]
        for name in names
    }
    yield make_chart('Validation', UNITS[run.unit] if run else '', series)
