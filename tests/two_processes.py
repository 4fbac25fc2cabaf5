"""Two processes that form a group, for tests of what they exchange."""

from collections.abc import Callable
from multiprocessing import set_forkserver_preload

from torch.multiprocessing.spawn import start_processes


def start_forked(function: Callable, args: tuple, nprocs: int) -> None:
    """As torch's ``spawn``; raises if one of the processes fails.

    All are forked from one process that has imported the package, which takes half the time.
    """
    set_forkserver_preload(['vminet_mm.engine'])
    start_processes(function, args=args, nprocs=nprocs, start_method='forkserver')


def run_in_two_processes(function: Callable[[int, str], None], folder: str) -> None:
    """Call ``function(rank, folder)`` in two processes."""
    start_forked(function, (folder,), 2)
