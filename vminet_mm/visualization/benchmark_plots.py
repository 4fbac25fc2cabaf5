"""Plots of a benchmark: time against accuracy, and growth with the size of the image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator

from .figures import new_figure, save_figure

if TYPE_CHECKING:
    from ..analysis.benchmark_report import Report

PANEL_INCHES = (6.0, 3.8)
MARKERS = 'osD^vP'
TITLES = dict(infer='inference', train='training step')


def save_plot(path: str | Path, report: Report) -> Path:
    """Draw a benchmark into a PNG file.

    Of one size: for each mode, time against published top-1 accuracy; models without a known one
    stand in the legend only. Of several sizes: for each mode, time and memory against the number of
    pixels on logarithmic axes, with the fitted exponents.
    """
    modes = list(dict.fromkeys(row.mode for row in report.rows))
    columns = 2 if report.exponents else 1
    figure = new_figure(PANEL_INCHES[0] * columns, PANEL_INCHES[1] * len(modes) + 0.3)
    host = report.environment
    figure.suptitle(f'{host["device"]}, torch {host["torch"]}, threads: {host["threads"]}')
    grid = figure.subplots(len(modes), columns, squeeze=False)
    for mode, panels in zip(modes, grid, strict=True):
        if report.exponents:
            _draw_growth(panels[0], report, mode, 'time')
            _draw_growth(panels[1], report, mode, 'memory')
        else:
            _draw_accuracy(panels[0], report, mode)
        panels[0].set_title(TITLES[mode], loc='left', fontsize=10)
    return save_figure(figure, path)


def _draw_accuracy(axes: Axes, report: Report, mode: str) -> None:
    rows = [row for row in report.rows if row.mode == mode]
    for row in rows:
        label = f'{row.model}  {row.milliseconds:.1f} ms'
        style = dict(_look(report, row.model), linestyle='', label=label)
        if row.top1 is None:
            axes.plot([], [], **style)
            continue
        low, high = row.spread
        errors = [[row.milliseconds - low], [high - row.milliseconds]]
        axes.errorbar(row.milliseconds, row.top1[0], xerr=errors, **style)
    height, width = rows[0].size
    axes.set_xlabel(f'ms, batch {rows[0].batch} at {height} x {width}')
    axes.set_ylabel('published top-1, %')
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, loc='upper left', bbox_to_anchor=(1.0, 1.0))


def _draw_growth(axes: Axes, report: Report, mode: str, quantity: str) -> None:
    for growth in report.exponents:
        if growth.mode != mode or getattr(growth, quantity) is None:
            continue
        rows = [row for row in report.rows if (row.model, row.mode) == (growth.model, mode)]
        pixels = np.array([row.size[0] * row.size[1] for row in rows])
        if quantity == 'time':
            values = [row.milliseconds for row in rows]
        else:
            values = [row.memory_bytes / 1e6 for row in rows]
        exponent = getattr(growth, quantity)
        factor = np.exp(np.mean(np.log(values) - exponent * np.log(pixels)))
        look = _look(report, growth.model)
        label = f'{growth.model}: exponent {exponent:.3f}'
        axes.loglog(pixels, values, linestyle='', label=label, **look)
        axes.loglog(pixels, factor * pixels**exponent, color=look['color'], linewidth=1)
    edges = sorted({row.size for row in report.rows}, key=lambda size: size[0] * size[1])
    axes.set_xticks(
        [height * width for height, width in edges],
        [f'{height}²' if height == width else f'{height}x{width}' for height, width in edges],
        rotation=45,
    )
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter('{x:g}')
    axes.minorticks_off()
    axes.set_xlabel('pixels')
    axes.set_ylabel(f'ms, batch {report.rows[0].batch}' if quantity == 'time' else 'MB')
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


def _look(report: Report, model: str) -> dict[str, str]:
    """Color and marker of a model: ten colors, then another marker."""
    k = list(dict.fromkeys(row.model for row in report.rows)).index(model)
    return dict(color=f'C{k % 10}', marker=MARKERS[k // 10 % len(MARKERS)])
