"""Curves are where their values are."""

import math
import re

import pytest

from vminet_mm.visualization.report import curves
from vminet_mm.visualization.report.curves import average_neighbors, make_chart, short


def places(path: str) -> list[list[float]]:
    return [[float(number) for number in point.split()] for point in re.split('[ML]', path)[1:]]


def test_points_fill_the_chart() -> None:
    chart = make_chart('Loss', 'iteration', {'a': [(0, 0.0), (50, 1.0), (100, 4.0)]})
    (line,) = chart.lines
    across, upwards = zip(*places(line.path), strict=True)
    right, bottom = curves.WIDTH - curves.RIGHT, curves.HEIGHT - curves.BOTTOM
    assert across == (curves.LEFT, (curves.LEFT + right) / 2, right)
    height = bottom - curves.TOP
    assert upwards == pytest.approx((bottom, bottom - height / 4, curves.TOP), abs=0.06)
    assert [tick.text for tick in chart.y_ticks] == ['0', '1', '2', '3', '4']
    assert [tick.place for tick in chart.y_ticks] == pytest.approx(
        [bottom - height * k / 4 for k in range(5)], abs=0.06
    )
    assert line.last == '4' and [dot[2] for dot in line.dots][1] == 'a 1 at iteration 50'
    assert {tick.text for tick in chart.x_ticks} >= {'0', '50', '100'}


def test_what_is_not_finite_is_left_out_and_said() -> None:
    points = [(1, 2.0), (2, math.nan), (3, math.inf), (4, 1.0)]
    chart = make_chart('Loss', 'iteration', {'a': points, 'b': [(1, math.nan)]})
    assert [line.name for line in chart.lines] == ['a'] and len(places(chart.lines[0].path)) == 2
    assert chart.notes == ['3 values are not finite, and left out']
    assert make_chart('Loss', 'iteration', {'a': [(1, math.nan)]}) is None
    assert make_chart('Loss', 'iteration', {}) is None


@pytest.mark.parametrize('value', [0.0, 5.0, -2.0])
def test_a_single_value_is_inside(value: float) -> None:
    chart = make_chart('Validation', 'epoch', {'a': [(15, value)]})
    ((x, y),) = places(chart.lines[0].path)
    assert curves.LEFT < x < curves.WIDTH and curves.TOP <= y <= curves.HEIGHT - curves.BOTTOM
    assert len(chart.lines[0].dots) == 1


def test_a_long_curve_is_averaged() -> None:
    points = [(step, float(step % 2)) for step in range(1000)]
    thin = average_neighbors(points)
    assert len(thin) == 250 and thin[:2] == [(1.5, 0.5), (5.5, 0.5)]
    chart = make_chart('Loss', 'iteration', {'a': points})
    assert chart.notes == ['neighboring values are averaged'] and chart.lines[0].dots == []
    assert average_neighbors(points[:250]) == points[:250]


def test_numbers_are_short() -> None:
    assert [short(v) for v in (0.30000000000000004, 160000, 9999, 1e-6, -12500)] == [
        '0.3',
        '160k',
        '9999',
        '1e-06',
        '-12.5k',
    ]
