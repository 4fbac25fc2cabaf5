"""Timing by a clock that the test moves, and statistics by hand."""

import time
from collections.abc import Callable

import numpy as np
import pytest

from vminet_mm.analysis.latency import (
    device_clock,
    fit_exponent,
    median_ratio,
    quartiles,
    time_in_turn,
)


class Workbench:
    """Functions whose calls move a clock and are noted."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[str] = []

    def clock(self) -> float:
        return self.now

    def worker(self, name: str, *seconds: float) -> Callable[[], None]:
        """A function that takes the given times in turn, and the last one from then on."""
        left = list(seconds)

        def work() -> None:
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return work


def test_rounds_begin_with_another_function_each_time() -> None:
    bench = Workbench()
    workers = [bench.worker(name, 1.0) for name in 'abc']
    times = time_in_turn(workers, rounds=4, min_seconds=0, clock=bench.clock)
    assert ''.join(bench.calls) == 'aabbcc' + 'abc' + 'bca' + 'cab' + 'abc'
    assert times == [[1.0] * 4] * 3


def test_a_timing_has_as_many_calls_as_the_second_one_says() -> None:
    bench = Workbench()
    # the first call compiles, say; 0.5 s need five calls of 0.125 s, or one of 2 s
    fast, slow = bench.worker('f', 9.0, 0.125), bench.worker('s', 2.0)
    times = time_in_turn([fast, slow], rounds=2, min_seconds=0.5, clock=bench.clock)
    assert ''.join(bench.calls) == 'ffss' + 'ffffs' + 'sffff'
    assert times == [[0.125, 0.125], [2.0, 2.0]]


def test_seconds_are_per_call_and_of_their_round() -> None:
    bench = Workbench()
    worker = bench.worker('w', 8.0, 0.25, 0.25, 0.75, 1.0, 1.5, 2.0)
    times = time_in_turn([worker], rounds=2, min_seconds=0.5, clock=bench.clock)
    assert times == [[0.5, 1.25]]


def test_progress_is_told_after_the_warm_up_and_each_round() -> None:
    bench = Workbench()
    seen: list[int] = []
    worker = bench.worker('w', 1.0)
    time_in_turn([worker], 3, 0, bench.clock, on_round=lambda: seen.append(len(bench.calls)))
    assert seen == [2, 3, 4, 5]


def test_a_function_that_takes_no_time_is_called_a_finite_number_of_times() -> None:
    bench = Workbench()
    times = time_in_turn([bench.worker('w', 0.0)], 1, 1e-6, bench.clock)
    assert times == [[0.0]] and len(bench.calls) == 2 + 1000


def test_clock_of_the_cpu() -> None:
    assert device_clock('cpu') is time.perf_counter
    assert device_clock('cpu', cpu_time=True) is time.process_time


def test_quartiles_are_interpolated() -> None:
    assert quartiles([4.0, 1.0, 3.0, 2.0]) == (1.75, 2.5, 3.25)
    assert quartiles([5.0]) == (5.0, 5.0, 5.0)


def test_median_of_the_ratios_is_not_the_ratio_of_the_medians() -> None:
    # ratios 2, 3, 0.5; medians 4 and 2
    assert median_ratio([2.0, 6.0, 4.0], [1.0, 2.0, 8.0]) == 2.0
    assert median_ratio([3.0, 3.0], [1.0, 2.0]) == 2.25


@pytest.mark.parametrize('exponent', [0.5, 1.0, 2.0])
def test_exponent_of_a_power_law(exponent: float) -> None:
    pixels = [224**2, 320**2, 448**2, 2048**2]
    values = 3e-7 * np.array(pixels, dtype=float) ** exponent
    assert fit_exponent(pixels, values) == pytest.approx(exponent, abs=1e-12)


def test_exponent_is_the_least_squares_line_through_the_logarithms() -> None:
    # log2: (0, 0), (1, 3), (2, 3): slope sum((x - 1)(y - 2)) / 2 = (2 + 1) / 2
    assert fit_exponent([1, 2, 4], [1.0, 8.0, 8.0]) == pytest.approx(1.5)


@pytest.mark.parametrize(('pixels', 'values'), [([9, 9], [1.0, 2.0]), ([4, 9], [1.0, 0.0])])
def test_exponent_needs_two_sizes_and_positive_values(pixels: list, values: list) -> None:
    with pytest.raises(ValueError, match='two sizes and positive values'):
        fit_exponent(pixels, values)
