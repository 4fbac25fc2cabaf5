"""Compare the times of functions in one run.

A machine's speed drifts, so the functions are timed in turn and repeatedly, each round in another
order; a ratio is taken within a round and the median of the ratios is reported.
"""

import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

Clock = Callable[[], float]


def device_clock(device: torch.device | str, cpu_time: bool = False) -> Clock:
    """A clock in seconds, which on CUDA synchronizes before it is read.

    Args:
        device: Where the work is done.
        cpu_time: On the CPU, count what this process computes and not what passes meanwhile.
    """
    if torch.device(device).type != 'cuda':
        return time.process_time if cpu_time else time.perf_counter

    def clock() -> float:
        """Seconds, once the GPU has nothing left to do."""
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return clock


def time_in_turn(
    functions: Sequence[Callable[[], object]],
    rounds: int = 9,
    min_seconds: float = 0.2,
    clock: Clock = time.perf_counter,
    on_round: Callable[[], object] = lambda: None,
) -> list[list[float]]:
    """Seconds per call of each function, for each one number a round.

    Every function is called twice to warm up; its second call says how many calls make up one
    timing. Then in each round all functions are timed once, beginning with the next one each time.

    Args:
        functions: What to time.
        rounds: How often.
        min_seconds: How long a timing lasts at least, going by the second call.
        clock: See :func:`device_clock`.
        on_round: Called after the warm-up and after every round.
    """
    calls = []
    for function in functions:
        function()
        once = max(_time(function, 1, clock), 1e-9)
        calls.append(max(1, math.ceil(min_seconds / once)))
    on_round()
    times: list[list[float]] = [[] for _ in functions]
    for number in range(rounds):
        for k in range(len(functions)):
            index = (number + k) % len(functions)
            times[index].append(_time(functions[index], calls[index], clock))
        on_round()
    return times


def _time(function: Callable[[], object], calls: int, clock: Clock) -> float:
    """Seconds per call."""
    start = clock()
    for _ in range(calls):
        function()
    return (clock() - start) / calls


def quartiles(times: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile, interpolated linearly."""
    low, median, high = np.quantile(times, [0.25, 0.5, 0.75])
    return float(low), float(median), float(high)


def median_ratio(times: Sequence[float], baseline: Sequence[float]) -> float:
    """The median of the ratios of each round."""
    return float(np.median(np.divide(times, baseline)))


def fit_exponent(pixels: Sequence[float], values: Sequence[float]) -> float:
    """The exponent p of ``values = factor * pixels ** p``, by least squares on the logarithms.

    Raises:
        ValueError: If there are not two different numbers of pixels, or a value is not positive.
    """
    if len(set(pixels)) < 2 or min(values) <= 0:
        raise ValueError(f'an exponent needs two sizes and positive values, not {pixels}, {values}')
    return float(np.polyfit(np.log(pixels), np.log(values), 1)[0])
