"""The results of a benchmark, as a table and as JSON."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
import torchvision

from .latency import fit_exponent, median_ratio, quartiles
from .tables import markdown_table, text_table

HEADER = ['model', 'mode', 'size', 'format', 'ms', 'quartiles', 'images/s', 'ratio', 'MB']
# settings below the table
SHOWN = ('threads', 'dtype', 'amp', 'compile', 'batch', 'rounds', 'cpu_time')
TUNING = ('TORCHINDUCTOR_', 'TORCHDYNAMO_', 'OMP_', 'MKL_', 'KMP_', 'GOMP_', 'CUDA_', 'TRITON_')


@dataclass(frozen=True)
class Measurement:
    """One model in one mode at one size.

    Attributes:
        model: Its spec, or the name of its config.
        mode: ``'infer'`` or ``'train'``, a forward pass or a training step.
        size: Height and width of the images.
        batch: Number of images.
        memory_format: ``'contiguous'`` or ``'channels_last'``.
        seconds: Of one batch, one number a round.
        memory_bytes: Beyond weights and images, see :mod:`vminet_mm.analysis.memory`: at the peak,
            or with ``kept`` those kept for the backward pass. None of another engine than torch,
            whose memory is not seen.
        params: Parameters of the model as it was timed, so fewer where norms are folded.
        top1: Published accuracy on ImageNet-1K in percent and its source, if known.
        ratio: Median over the rounds of its time over that of the baseline, if that was measured
            in this mode and at this size.
        detections: Objects found in a batch, of a detector.
        scan: What computed the selective scan of a model that has one.
        kept: Whether ``memory_bytes`` are those that are kept for the backward pass.
    """

    model: str
    mode: str
    size: tuple[int, int]
    batch: int
    memory_format: str
    seconds: list[float]
    memory_bytes: int | None
    params: int
    top1: tuple[float, str] | None = None
    ratio: float | None = None
    detections: int | None = None
    scan: str | None = None
    kept: bool = False

    @property
    def milliseconds(self) -> float:
        """Median of a batch."""
        return quartiles(self.seconds)[1] * 1e3

    @property
    def images_per_second(self) -> float:
        """Of the median."""
        return self.batch / self.milliseconds * 1e3

    @property
    def spread(self) -> tuple[float, float]:
        """Lower and upper quartile in milliseconds."""
        low, _, high = quartiles(self.seconds)
        return low * 1e3, high * 1e3


@dataclass(frozen=True)
class Exponent:
    """How a model's time and memory grow: with ``pixels ** time`` and ``pixels ** memory``.

    The memory of another engine than torch is not seen, and its exponent None.
    ``per_megapixel`` are the milliseconds that a million pixels take at the largest size.
    """

    model: str
    mode: str
    time: float
    memory: float | None
    per_megapixel: float


@dataclass(frozen=True)
class Report:
    """A run of the benchmark.

    Attributes:
        settings: What was asked for.
        rows: What was measured.
        exponents: Where several sizes were measured, one for each model and mode.
        environment: The machine and the versions.
    """

    settings: dict
    rows: list[Measurement]
    exponents: list[Exponent]
    environment: dict = field(default_factory=dict)


def make_report(settings: dict, rows: Sequence[Measurement], baseline: str) -> Report:
    """Complete measurements with ratios to the baseline, exponents and the environment."""
    base = {(row.mode, row.size): row.seconds for row in rows if row.model == baseline}
    rows = [
        replace(row, ratio=median_ratio(row.seconds, base[row.mode, row.size]))
        if (row.mode, row.size) in base
        else row
        for row in rows
    ]
    exponents = []
    for model, mode in dict.fromkeys((row.model, row.mode) for row in rows):
        sweep = [row for row in rows if (row.model, row.mode) == (model, mode)]
        if len({row.size for row in sweep}) > 1:
            pixels = [row.size[0] * row.size[1] for row in sweep]
            time = fit_exponent(pixels, [row.milliseconds for row in sweep])
            sizes = [row.memory_bytes for row in sweep]
            memory = None if None in sizes else fit_exponent(pixels, sizes)
            most = max(pixels)
            largest = sweep[pixels.index(most)]
            per_megapixel = largest.milliseconds / largest.batch / most * 1e6
            exponents.append(Exponent(model, mode, time, memory, per_megapixel))
    return Report(dict(settings, baseline=baseline), rows, exponents, environment(settings))


def environment(settings: dict) -> dict:
    """Device, versions, number of threads, and variables that tune torch."""
    is_cuda = torch.device(settings['device']).type == 'cuda'
    tuning = {name: value for name, value in os.environ.items() if name.startswith(TUNING)}
    return dict(
        device=torch.cuda.get_device_name(settings['device']) if is_cuda else _cpu_name(),
        threads=settings['threads'],
        cores=os.cpu_count(),
        system=platform.platform(),
        python=platform.python_version(),
        torch=torch.__version__,
        torchvision=torchvision.__version__,
        cuda=torch.version.cuda if is_cuda else None,
        variables=tuning,
    )


def _cpu_name() -> str:
    """The processor's name from /proc/cpuinfo, else its architecture."""
    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(':', 1)[1].strip() for line in lines if line.startswith('model name')]
    return names[0] if names else platform.processor() or platform.machine()


def to_json(report: Report) -> str:
    """The report as JSON; a row has the derived numbers beside the raw timings."""
    data = asdict(report)
    for row, values in zip(report.rows, data['rows'], strict=True):
        values |= dict(
            milliseconds=row.milliseconds,
            quartiles=row.spread,
            images_per_second=row.images_per_second,
        )
    return json.dumps(data, indent=2)


def to_table(report: Report, style: str = 'text') -> str:
    """The report as text, aligned (``'text'``) or in Markdown (``'md'``)."""
    make_table = markdown_table if style == 'md' else text_table
    lines = make_table([HEADER, *(_cells(row) for row in report.rows)])
    bullet = '- ' if style == 'md' else ''
    return '\n'.join([*lines, '', *(bullet + note for note in _notes(report))])


def _cells(row: Measurement) -> list[str]:
    """The cells of a row."""
    low, high = row.spread
    return [
        row.model,
        row.mode,
        f'{row.size[0]}x{row.size[1]}',
        row.memory_format,
        f'{row.milliseconds:.2f}',
        f'{low:.2f}..{high:.2f}',
        f'{row.images_per_second:.1f}',
        '-' if row.ratio is None else f'{row.ratio:.3f}',
        '-' if row.memory_bytes is None else f'{row.memory_bytes / 1e6:.1f}',
    ]


def _notes(report: Report) -> list[str]:
    """The lines below the table: what it was measured with."""
    settings, host = report.settings, report.environment
    switches = ', '.join(f'{key} {settings[key]}' for key in SHOWN if settings.get(key))
    keeps = any(row.kept for row in report.rows)
    notes = [
        f'{host["device"]}, torch {host["torch"]}; {switches}',
        'ms of a batch: median and quartiles of the rounds; '
        f'ratio to {settings["baseline"]}: median over the rounds',
        'MB beyond weights and images: most at a time'
        + ('; in train: kept for the backward pass' if keeps else ''),
    ]
    found = {row.model: row.detections for row in report.rows if row.detections is not None}
    if found:
        counts = ', '.join(f'{model} {count}' for model, count in found.items())
        notes.append(f'objects found in a batch, at random weights: {counts}')
    scans = {row.model: row.scan for row in report.rows if row.scan}
    if scans:
        names = ', '.join(f'{model} by {scan}' for model, scan in scans.items())
        notes.append(f'selective scan: {names}')
    return notes + [
        f'{growth.model}, {growth.mode}: time grows as pixels^{growth.time:.3f}'
        + ('' if growth.memory is None else f', memory as pixels^{growth.memory:.3f}')
        + f'; {growth.per_megapixel:.4g} ms a megapixel at the largest size'
        for growth in report.exponents
    ]
