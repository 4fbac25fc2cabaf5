"""Curves are where their values are."""

import math
import re
from xml.etree import ElementTree

import pytest

from vminet_mm.visualization.report.curves import LINES, Chart, average_neighbors, make_chart, short


def drawn(chart: Chart) -> ElementTree.Element:
    """The element, with the name space that a page need not give."""
    return ElementTree.fromstring(
        chart.svg.replace('<svg ', '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1)
    )


def line_places(chart: Chart, number: int = 0) -> list[list[float]]:
    """The points (x, y) of a curve's path."""
    paths = [p.get('d') for p in drawn(chart).iter('path') if f'var(--c{number})' in str(p.attrib)]
    path = next(path for path in paths if path and 'C' not in path)  # dots are round
    return [[float(v) for v in pair.split()] for pair in re.split('[ML]', path)[1:]]


def dots(chart: Chart) -> int:
    return sum(1 for use in drawn(chart).iter('use') if 'var(--c' in use.get('style', ''))


def texts(chart: Chart) -> list[str]:
    return [text.text for text in drawn(chart).iter('text')]


def test_points_are_in_proportion() -> None:
    chart = make_chart('Loss', 'iteration', {'a': [(0, 0.0), (50, 1.0), (100, 4.0)]})
    (x0, y0), (x1, y1), (x2, y2) = line_places(chart)
    assert x1 - x0 == pytest.approx((x2 - x0) / 2) and x2 > x0
    assert y0 - y1 == pytest.approx((y0 - y2) / 4) and y2 < y0
    assert chart.last == {'a': '4'} and dots(chart) == 3
    assert {'0', '1', '2', '3', '4', '30', '60', '90'} <= set(texts(chart))


def test_each_curve_has_a_color_of_the_page() -> None:
    chart = make_chart('Loss', 'iteration', {f'n{k}': [(0, k), (1, k)] for k in range(len(LINES))})
    heights = [line_places(chart, k)[0][1] for k in range(len(LINES))]
    assert heights == sorted(heights, reverse=True) and len(set(heights)) == len(LINES)
    assert not re.search('#0[123]0[123]', chart.svg) and 'var(--soft)' in chart.svg


def test_the_element_fits_into_a_page() -> None:
    chart = make_chart('a <b>', 'iteration', {'a': [(0, 1.0)]})
    head = chart.svg[: chart.svg.index('>')]
    assert 'aria-label="a &lt;b&gt; over iteration"' in head and 'viewBox' in head
    assert 'width' not in head and '://' not in chart.svg and '<metadata' not in chart.svg


def test_what_is_not_finite_is_left_out_and_said() -> None:
    points = [(1, 2.0), (2, math.nan), (3, math.inf), (4, 1.0)]
    chart = make_chart('Loss', 'iteration', {'a': points, 'b': [(1, math.nan)]})
    assert list(chart.last) == ['a'] and len(line_places(chart)) == 2
    assert chart.notes == ['3 values are not finite, and left out']
    assert make_chart('Loss', 'iteration', {'a': [(1, math.nan)]}) is None
    assert make_chart('Loss', 'iteration', {}) is None


@pytest.mark.parametrize('value', [0.0, 5.0, -2.0])
def test_a_single_value_is_inside(value: float) -> None:
    chart = make_chart('Validation', 'epoch', {'a': [(15, value)]})
    ((x, y),) = line_places(chart)
    _, _, width, height = map(float, drawn(chart).get('viewBox').split())
    assert 0 < x < width and 0 < y < height and dots(chart) == 1
    assert '15' in texts(chart)


def test_a_long_curve_is_averaged() -> None:
    points = [(step, float(step % 2)) for step in range(1000)]
    thin = average_neighbors(points)
    assert len(thin) == 250 and thin[:2] == [(1.5, 0.5), (5.5, 0.5)]
    chart = make_chart('Loss', 'iteration', {'a': points})
    assert chart.notes == ['neighboring values are averaged'] and dots(chart) == 0
    assert average_neighbors(points[:250]) == points[:250]


def test_numbers_are_short() -> None:
    assert [short(v) for v in (0.30000000000000004, 160000, 9999, 1e-6, -12500)] == [
        '0.3',
        '160k',
        '9999',
        '1e-06',
        '-12.5k',
    ]
