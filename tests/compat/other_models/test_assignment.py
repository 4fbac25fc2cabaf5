"""Matching tracks and detections: against every possible matching, and in mmdet's trackers."""

from itertools import permutations

import numpy as np
import pytest

import vminet_mm  # noqa: F401
from vminet_mm.compat.other_models import assignment

SHAPES = [(1, 1), (2, 3), (3, 2), (4, 4)]


def matchings(rows: int, columns: int) -> list[list[tuple[int, int]]]:
    """Every way to match some rows with some columns."""
    slots = [*range(columns), *[-1] * rows]
    return [
        [(row, column) for row, column in enumerate(choice) if column >= 0]
        for choice in set(permutations(slots, rows))
    ]


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('limit', [0.3, 0.9, np.inf])
def test_lapjv_is_the_cheapest_of_all_matchings(shape, limit):
    costs = np.random.default_rng(1).random(shape)
    total, of_row, of_column = assignment.lapjv(costs, extend_cost=True, cost_limit=limit)

    def price(pairs):
        # each row and each column that is left alone costs half of the limit
        alone = sum(shape) - 2 * len(pairs)
        return sum(costs[pair] for pair in pairs) + alone * min(limit, 1e6) / 2

    found = [(row, column) for row, column in enumerate(of_row) if column >= 0]
    assert price(found) == pytest.approx(min(map(price, matchings(*shape))))
    assert total == pytest.approx(sum(costs[pair] for pair in found))
    assert [(row, column) for column, row in enumerate(of_column) if row >= 0] == sorted(
        found, key=lambda pair: pair[1]
    )
    assert all(costs[pair] <= limit for pair in found)


@pytest.mark.parametrize('shape', SHAPES)
def test_assign_never_takes_what_is_not_finite(shape):
    random = np.random.default_rng(2)
    for _ in range(8):
        costs = random.normal(size=shape)
        costs[random.random(shape) < 0.4] = np.nan
        allowed = [m for m in matchings(*shape) if all(np.isfinite(costs[pair]) for pair in m)]
        most = max(map(len, allowed))
        best = min(sum(costs[pair] for pair in m) for m in allowed if len(m) == most)
        rows, columns = assignment.assign(costs)
        assert len(rows) == len(columns) == most
        assert costs[rows, columns].sum() == pytest.approx(best)


def test_nothing_to_match():
    assert [len(part) for part in assignment.assign(np.full((2, 3), np.inf))] == [0, 0]
    assert [len(part) for part in assignment.assign(np.zeros((0, 3)))] == [0, 0]
    total, of_row, of_column = assignment.lapjv(np.zeros((0, 2)), cost_limit=0.5)
    assert (total, list(of_row), list(of_column)) == (0, [], [-1, -1])


def test_the_trackers_have_what_they_need_and_an_installed_package_stays():
    from mmdet.models.trackers import byte_tracker, ocsort_tracker, sort_tracker, strongsort_tracker

    for module in (byte_tracker, ocsort_tracker):
        assert module.lap.lapjv(np.array([[0.2]]), True, 0.5)[1].tolist() == [0]
    for module in (sort_tracker, strongsort_tracker):
        assert module.motmetrics is not None
        assert module.linear_sum_assignment(np.array([[0.2]]))[0].tolist() == [0]
    installed = type(byte_tracker)('tracker')
    installed.lap = 'the package'
    assignment.fix(installed)
    assert installed.lap == 'the package'
