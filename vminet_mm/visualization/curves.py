"""Curves of training runs: what MMEngine has logged, several runs in one figure.

:mod:`vminet_mm.analysis.run_log` reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ..analysis.run_log import TIMES, RunLog, Start, find_starts, read_log
from ..tasks import MAIN_METRICS
from .figures import new_figure, save_figure

PANEL_INCHES = (4.6, 3.2)
MAX_COLUMNS = 3
# drawn by default: the loss, and of each task what its papers compare
DEFAULT_KEYS = ('loss', *MAIN_METRICS)
# entries of a line that are no curves
COUNTERS = ('step', 'iter', 'epoch')


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
    """Read the curves of a work dir, of one of its starts, or of a JSON file of scalars.

    Starts that resumed a run are joined, the later one counts.

    Raises:
        ValueError: If nothing was logged there.
    """
    path = Path(path)
    starts = [Start(path)] if path.is_file() else find_starts(path)
    log = read_log(starts) if starts else RunLog([], [], [])
    unit = 'epoch' if any('epoch' in line for line in log.training) else 'iteration'
    curves: dict[str, Curve] = {}
    _add_lines(curves, 'iteration', True, log.training)
    _add_lines(curves, unit, False, log.validations)
    if not curves:
        raise ValueError(
            f'{path} holds no scalars of a run: give a work dir with TIME/vis_data/scalars.json'
        )
    return RunCurves(str(path), curves)


def _add_lines(
    curves: dict[str, Curve], unit: str, is_training: bool, lines: Sequence[dict]
) -> None:
    """Add the numbers of lines to the curves that they belong to."""
    hidden = COUNTERS if is_training else (*COUNTERS, *TIMES)
    for line in lines:
        for key, value in line.items():
            if key not in hidden and isinstance(value, (int, float)):
                curve = curves.setdefault(key, Curve(unit, is_training))
                curve.steps.append(line['step'])
                curve.values.append(value)


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

    The scale of what is logged in training may be logarithmic.
    """
    rows = -(-len(keys) // MAX_COLUMNS)
    columns = -(-len(keys) // rows)
    size = (PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows + 0.2 * len(runs))
    figure = new_figure(*size)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(keys) :]:
        axes.set_axis_off()
    for axes, key in zip(grid, keys, strict=False):
        _draw(axes, key, runs, log_y)
    handles = [Line2D([], [], color=_color(k), label=run.name) for k, run in enumerate(runs)]
    figure.legend(handles=handles, loc='outside lower center', fontsize=7, frameon=False)
    return save_figure(figure, path)


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
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=1))
    axes.set_xlabel(' or '.join(dict.fromkeys(units)))
    axes.set_title(key, loc='left', fontsize=9)
    axes.grid(alpha=0.3, which='both')


def _color(number: int) -> str:
    """The color of a run; there are ten."""
    return f'C{number % 10}'
