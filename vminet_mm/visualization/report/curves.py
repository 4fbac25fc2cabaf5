"""Curves as SVG, for a template to show."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.ticker import FuncFormatter, MaxNLocator

from ..figures import new_figure, svg_text

INCHES = (4.2, 2.3)  # small, so that a chart as wide as a phone has readable text
MAX_POINTS = 250  # a longer curve is averaged over neighbors
MAX_DOTS = 40  # a shorter one has its points marked
# what is drawn in them takes the page's colors, which differ by day and night
INK, RULE = '#010101', '#020202'
LINES = tuple(f'#0303{k:02x}' for k in range(6))
PAGE_COLORS = {INK: 'var(--soft)', RULE: 'var(--rule)'} | {
    color: f'var(--c{k})' for k, color in enumerate(LINES)
}

Points = Iterable[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """Curves over one axis.

    Attributes:
        title: What they show.
        unit: What the horizontal axis counts.
        notes: What is to be said of the curves.
        last: The name of each curve with its last value, as text.
        svg: The ``<svg>`` element.
    """

    title: str
    unit: str
    notes: list[str]
    last: dict[str, str]
    svg: str


def make_chart(title: str, unit: str, curves: dict[str, Points]) -> Chart | None:
    """Draw curves; None where there is no finite value.

    Args:
        title: What they show.
        unit: What x counts.
        curves: By name the points (x, y), in the order of x; at most as many as ``LINES``. Values
            which are not finite are left out, and a note says how many.
    """
    given = {name: list(points) for name, points in curves.items()}
    finite = {name: [p for p in points if math.isfinite(p[1])] for name, points in given.items()}
    finite = {name: points for name, points in finite.items() if points}
    if not finite:
        return None
    lost = sum(map(len, given.values())) - sum(map(len, finite.values()))
    notes = [f'{lost} values are not finite, and left out'] if lost else []
    thin = {name: average_neighbors(points) for name, points in finite.items()}
    if any(len(thin[name]) < len(finite[name]) for name in thin):
        notes.append('neighboring values are averaged')
    last = {name: short(points[-1][1]) for name, points in thin.items()}
    return Chart(title, unit, notes, last, _draw(f'{title} over {unit}', list(thin.values())))


def _draw(label: str, curves: list[list[tuple[float, float]]]) -> str:
    """An ``<svg>`` element with curves in the colors of the page."""
    figure = new_figure(*INCHES)
    axes = figure.subplots()
    for color, points in zip(LINES, curves, strict=False):
        marker = 'o' if len(points) <= MAX_DOTS else None
        axes.plot(*zip(*points, strict=True), color=color, linewidth=1.4, marker=marker, ms=3)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    axes.tick_params(colors=INK, labelsize=9, length=0)
    axes.grid(axis='y', color=RULE)
    axes.spines[:].set_visible(False)
    text = svg_text(figure, label)
    for color, name in PAGE_COLORS.items():
        text = text.replace(color, name)
    return text


def average_neighbors(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most ``MAX_POINTS`` points: means over as many neighbors as it takes."""
    size = math.ceil(len(points) / MAX_POINTS)
    groups = [points[k : k + size] for k in range(0, len(points), size)]
    return [tuple(sum(side) / len(group) for side in zip(*group, strict=True)) for group in groups]


def short(value: float) -> str:
    """A number in few characters."""
    return f'{value / 1000:.4g}k' if abs(value) >= 10000 else f'{value:.4g}'
