"""What a training holds, for tests of whether it grows: from /proc, so for Linux only."""

import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@dataclass(frozen=True)
class Usage:
    """What a training holds at an iteration, its data workers included.

    Attributes:
        iteration: How many are done.
        memory: Resident memory in MiB; what processes share counts for each.
        handles: Open files, sockets and pipes.
        processes: The training and its data workers.
    """

    iteration: int
    memory: float
    handles: int
    processes: int


def usage(iteration: int) -> Usage:
    """What this process and its children hold now."""
    pids = [os.getpid(), *(child.pid for child in multiprocessing.active_children())]
    pages = sum(int(Path(f'/proc/{pid}/statm').read_text().split()[1]) for pid in pids)
    handles = sum(len(os.listdir(f'/proc/{pid}/fd')) for pid in pids)
    return Usage(iteration, pages * os.sysconf('SC_PAGE_SIZE') / 2**20, handles, len(pids))


@HOOKS.register_module()
class UsageHook(Hook):
    """Note the usage at an interval of iterations, after all other hooks."""

    priority = 'LOWEST'
    seen: list[Usage] = []

    def __init__(self, interval: int) -> None:
        self.interval = interval

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        """Note it."""
        if self.every_n_train_iters(runner, self.interval):
            self.seen.append(usage(runner.iter + 1))


def growth(values: list[float]) -> float:
    """The growth, as a fraction, of the peaks from a fifth of a run, when it is warm, to its end.

    A peak is the largest of a tenth of the values, so that work which is done now and then is in
    both.
    """
    window, begin = max(1, len(values) // 10), len(values) // 5
    return max(values[-window:]) / max(values[begin : begin + window]) - 1
