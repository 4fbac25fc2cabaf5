"""Curves of training runs: what MMEngine has logged, several runs in one picture.

A work dir holds, for each start of its run, ``TIME/vis_data/scalars.json`` with a line for every
logged iteration and every validation. :mod:`vminet_mm.analysis.run_results` reads the validations
alone, of finished runs with their configs; here a run may be under way, and training counts.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

DPI = 150
PANEL_INCHES = (4.6, 3.2)
MAX_COLUMNS = 3
# drawn unless told otherwise: the loss, and of each task what its papers compare
DEFAULT_KEYS = ('loss', 'accuracy/top1', 'coco/bbox_mAP', 'coco/segm_mAP', 'mIoU')
# entries of a line that are no curves
COUNTERS = ('step', 'iter', 'epoch')
TIMES = ('time', 'data_time')


@dataclass
class Curve:
    """A quantity of a run over its course.

    Attributes:
        unit: What the steps count: ``'iteration'`` or ``'epoch'``.
        is_training: Whether it was logged in training, and not by a validation.
        steps: Ascending.
        values: One for each step.
    """

    unit: str
    is_training: bool
    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, step: int, value: float) -> None:
        """Add a value; what was known from this step on is dropped, it has been done again."""
        while self.steps and self.steps[-1] >= step:
            self.steps.pop()
            self.values.pop()
        self.steps.append(step)
        self.values.append(value)


@dataclass(frozen=True)
class RunCurves:
    """The curves of a run by the names that MMEngine gives them.

    Attributes:
        name: Where it was read from.
        curves: The curves. A validation's time is left out.
    """

    name: str
    curves: dict[str, Curve]


def read_curves(path: str | Path) -> RunCurves:
    """Read the curves of a run; starts that resumed it are joined, the later one counts.

    Args:
        path: A work dir, the folder of one of its starts, or a JSON file of scalars.

    Raises:
        ValueError: If nothing was logged there.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted(path.glob('*/vis_data/scalars.json'))
    files = files or sorted(path.glob('vis_data/scalars.json'))
    curves: dict[str, Curve] = {}
    for file in files:
        _add_lines(curves, list(_lines(file)))
    if not curves:
        raise ValueError(
            f'{path} holds no scalars of a run: give a work dir with TIME/vis_data/scalars.json'
        )
    return RunCurves(str(path), curves)


def _lines(file: Path) -> Iterator[dict]:
    """The lines of a scalars file."""
    for text in file.read_text().splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:  # a killed run leaves half a line
            continue
        if isinstance(line, dict) and 'step' in line:
            yield line


def _add_lines(curves: dict[str, Curve], lines: list[dict]) -> None:
    """Add the lines of a start to the curves of its run."""
    by_epoch = any('epoch' in line for line in lines)
    for line in lines:
        is_training = 'iter' in line
        unit = 'epoch' if by_epoch and not is_training else 'iteration'
        for key, value in line.items():
            if key in COUNTERS or (key in TIMES and not is_training):
                continue
            if isinstance(value, (int, float)):
                curves.setdefault(key, Curve(unit, is_training)).add(line['step'], value)


def choose_keys(runs: Sequence[RunCurves], patterns: Sequence[str] | None = None) -> list[str]:
    """The names of the curves to draw.

    Args:
        runs: The runs.
        patterns: Names, or patterns such as ``'loss*'``. By default the loss and the main metrics,
            or where there are none of these, all that validations have found.

    Raises:
        ValueError: If a pattern fits no curve of any run; the message lists the names.
    """
    known = {key: curve for run in runs for key, curve in run.curves.items()}
    if not patterns:
        chosen = [key for key in DEFAULT_KEYS if key in known]
        return chosen or [key for key, curve in known.items() if not curve.is_training]
    chosen = []
    for pattern in patterns:
        fitting = [key for key in known if fnmatchcase(key, pattern)]
        if not fitting:
            raise ValueError(f'no curve is named {pattern!r}; there are {", ".join(sorted(known))}')
        chosen += fitting
    return list(dict.fromkeys(chosen))


def save_curves(
    path: str | Path, runs: Sequence[RunCurves], keys: Sequence[str], log_y: bool = False
) -> Path:
    """Draw curves into a PNG file: a panel for each key, a color for each run.

    Args:
        path: The file; its folder is made.
        runs: The runs.
        keys: From :func:`choose_keys`.
        log_y: Logarithmic scale for what is logged in training.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = -(-len(keys) // MAX_COLUMNS)
    columns = -(-len(keys) // rows)
    size = (PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows + 0.2 * len(runs))
    # not through pyplot: a figure of its own leaves no global state and needs no display
    figure = Figure(figsize=size, dpi=DPI, layout='constrained')
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(keys) :]:
        axes.set_axis_off()
    for axes, key in zip(grid, keys, strict=False):
        _draw(axes, key, runs, log_y)
    handles = [Line2D([], [], color=_color(k), label=run.name) for k, run in enumerate(runs)]
    figure.legend(handles=handles, loc='outside lower center', fontsize=7, frameon=False)
    figure.savefig(path, format='png')
    return path


def _draw(axes: Axes, key: str, runs: Sequence[RunCurves], log_y: bool) -> None:
    """A panel."""
    units = []
    for k, run in enumerate(runs):
        curve = run.curves.get(key)
        if curve is None:
            continue
        look = dict(linewidth=0.9) if curve.is_training else dict(marker='o', markersize=3)
        axes.plot(curve.steps, np.array(curve.values, dtype=float), color=_color(k), **look)
        units.append(curve.unit)
        if curve.is_training and log_y:
            axes.set_yscale('log')
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel(' or '.join(dict.fromkeys(units)))
    axes.set_title(key, loc='left', fontsize=9)
    axes.grid(alpha=0.3, which='both')


def _color(number: int) -> str:
    """The color of a run; there are ten."""
    return f'C{number % 10}'
