"""Curves as paths of SVG, for a template to draw."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.ticker import MaxNLocator

# of the drawing's coordinates; small, so that a chart as wide as a phone has readable text
WIDTH, HEIGHT = 400, 220
LEFT, RIGHT, TOP, BOTTOM = 58, 10, 10, 24
MAX_POINTS = 250  # a longer curve is averaged over neighbors
MAX_DOTS = 40  # a shorter one has its points marked

Points = Iterable[tuple[float, float]]


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in the drawing's coordinates, and what is written there."""

    place: float
    text: str


@dataclass(frozen=True)
class Line:
    """A curve.

    Attributes:
        name: Its name.
        last: Its last value, as text.
        path: The ``d`` of an SVG path.
        dots: Places (x, y) of its points, each with its value as text; empty for a long curve.
    """

    name: str
    last: str
    path: str
    dots: list[tuple[float, float, str]]


@dataclass(frozen=True)
class Chart:
    """Curves over one axis.

    Attributes:
        title: What they show.
        unit: What the horizontal axis counts.
        notes: What is to be said of the curves.
        lines: The curves.
        x_ticks: Of the horizontal axis.
        y_ticks: Of the vertical axis.
    """

    title: str
    unit: str
    notes: list[str]
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]


def make_chart(title: str, unit: str, curves: dict[str, Points]) -> Chart | None:
    """Place curves in a chart.

    Args:
        title: What they show.
        unit: What x counts.
        curves: By name the points (x, y), in the order of x. Values which are not finite are left
            out, and a note says how many.

    Returns:
        Chart: None where there is no finite value.
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
    axes = _Axes.around([point for points in thin.values() for point in points])
    return Chart(
        title=title,
        unit=unit,
        notes=notes,
        lines=[_make_line(name, points, unit, axes) for name, points in thin.items()],
        x_ticks=[Tick(axes.place_x(x), short(x)) for x in axes.x_marks()],
        y_ticks=[Tick(axes.place_y(y), short(y)) for y in axes.levels],
    )


@dataclass(frozen=True)
class _Axes:
    """The ranges of a chart: ``low`` to ``high`` across, the first to the last level upwards."""

    low: float
    high: float
    levels: list[float]

    @classmethod
    def around(cls, points: list[tuple[float, float]]) -> '_Axes':
        xs, ys = zip(*points, strict=True)
        levels = MaxNLocator(nbins=4).tick_values(*_widened(min(ys), max(ys)))
        return cls(*_widened(min(xs), max(xs)), levels.tolist())

    def x_marks(self) -> list[float]:
        marks = MaxNLocator(nbins=4, integer=True).tick_values(self.low, self.high)
        return [x for x in marks.tolist() if self.low <= x <= self.high]

    def place_x(self, x: float) -> float:
        fraction = (x - self.low) / (self.high - self.low)
        return round(LEFT + fraction * (WIDTH - LEFT - RIGHT), 1)

    def place_y(self, y: float) -> float:
        fraction = (y - self.levels[0]) / (self.levels[-1] - self.levels[0])
        return round(HEIGHT - BOTTOM - fraction * (HEIGHT - TOP - BOTTOM), 1)


def _make_line(name: str, points: list[tuple[float, float]], unit: str, axes: _Axes) -> Line:
    places = [(axes.place_x(x), axes.place_y(y)) for x, y in points]
    texts = [f'{name} {short(y)} at {unit} {short(x)}' for x, y in points]
    return Line(
        name=name,
        last=short(points[-1][1]),
        path='M' + 'L'.join(f'{x} {y}' for x, y in places),
        dots=[
            (*place, text)
            for place, text in zip(places, texts, strict=True)
            if len(places) <= MAX_DOTS
        ],
    )


def average_neighbors(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most ``MAX_POINTS`` points: means over as many neighbors as it takes."""
    size = math.ceil(len(points) / MAX_POINTS)
    groups = [points[k : k + size] for k in range(0, len(points), size)]
    return [tuple(sum(side) / len(group) for side in zip(*group, strict=True)) for group in groups]


def short(value: float) -> str:
    """A number in few letters."""
    return f'{value / 1000:.4g}k' if abs(value) >= 10000 else f'{value:.4g}'


def _widened(low: float, high: float) -> tuple[float, float]:
    """A range that is not empty: of a single value, from 0 to it and beyond."""
    if low < high:
        return low, high
    return (0, 1.2 * high) if high > 0 else (1.2 * low, 1)
