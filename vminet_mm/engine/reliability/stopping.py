"""Graceful shutdown: after SIGTERM or SIGINT all ranks stop after the same iteration."""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

import torch
from mmengine.dist import get_comm_device, get_world_size

from .exchange import LargestOfAll


class StopSignals:
    """Remembers whether the run was asked to stop. A second SIGINT (Ctrl-C) interrupts at once.

    Attributes:
        asked: The signal that this process got, or 0.
        agreed: The signal that all processes know of, or 0.
        is_carried: Whether another message takes ``asked`` along in every iteration and sets
            ``agreed``, as that of :class:`.NonFiniteLossHook` does.
    """

    def __init__(self) -> None:
        self.asked = self.agreed = 0
        self.is_carried = False
        self._sent: LargestOfAll | None = None
        self._before: dict[int, Callable | int | None] = {}

    def listen(self) -> None:
        """Catch the signals from now on (in a main thread: no other receives any)."""
        self.asked = self.agreed = 0
        self._process = os.getpid()
        if threading.current_thread() is threading.main_thread():
            for signum in (signal.SIGTERM, signal.SIGINT):
                self._before[signum] = signal.signal(signum, self._note)

    def restore(self) -> None:
        """Leave the signals to whoever had them before."""
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before.clear()

    def after_iteration(self) -> int:
        """The signal of any process, or 0; all call it together, and none waits for the others.

        What no other message carries is sent here and read at the next call.
        """
        if get_world_size() == 1:
            self.agreed = self.asked
        elif not self.is_carried:
            before, self._sent = self._sent, self._send()
            if before is not None:
                (self.agreed,) = before.read()
        return self.agreed

    def now(self) -> int:
        """The signal of any process, or 0, after waiting for all of them."""
        (self.agreed,) = self._send().read()
        return self.agreed

    def _send(self) -> LargestOfAll:
        """Start to send this process's signal to the others."""
        return LargestOfAll(torch.tensor([self.asked], device=get_comm_device()))

    def _note(self, signum: int, frame: FrameType | None) -> None:
        """Remember a signal; a second SIGINT ends the process at once."""
        if os.getpid() != self._process:
            return  # SIGINT in a fork: it is for the main process
        # a launcher and a scheduler may both pass on the same SIGTERM; who presses twice means it
        if signum == self.asked == signal.SIGINT:
            self.restore()
            raise KeyboardInterrupt
        self.asked = signum


class _Forks:
    """Have SIGTERM end the forks of a process that listens, such as the workers of a metric's pool.

    A pool ends its workers with SIGTERM, which a handler written in Python may miss: it waits for a
    system call to return. So the fork gets the system's own, before the signal can reach it.
    """

    def __init__(self) -> None:
        self._masks = threading.local()

    def before(self) -> None:
        """Hold SIGTERM back from this thread, and so from its fork."""
        is_ours = isinstance(getattr(signal.getsignal(signal.SIGTERM), '__self__', 0), StopSignals)
        held = {signal.SIGTERM} if is_ours else set()
        self._masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
        self._masks.is_ours = is_ours

    def in_child(self) -> None:
        """Give the fork the system's handler, and what was held back."""
        if self._masks.is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.in_parent()

    def in_parent(self) -> None:
        """Take signals as before."""
        signal.pthread_sigmask(signal.SIG_SETMASK, self._masks.before)


if hasattr(os, 'register_at_fork'):  # which Windows has not
    _forks = _Forks()
    os.register_at_fork(
        before=_forks.before, after_in_parent=_forks.in_parent, after_in_child=_forks.in_child
    )


def ignore_signals_in_worker(
    worker_init_fn: Callable[[int], None] | None, main_process: int, worker: int
) -> None:
    """Initialize a worker of a data loader that outlives a signal to the whole group of processes.

    Terminals send SIGINT and schedulers send SIGTERM to the workers too, and the iteration that is
    to be finished needs them. The SIGTERM of its own main process ends a worker.

    Args:
        worker_init_fn: What initializes the worker otherwise.
        main_process: The number of the process that the worker works for. It is not the parent of a
            worker that a fork server started.
        worker: Its number.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, 'sigwaitinfo'):  # absent on macOS; only it gives the sender
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with, args=(main_process,), daemon=True).start()
    if worker_init_fn is not None:
        worker_init_fn(worker)


def _end_with(main_process: int) -> None:
    """Wait for the SIGTERM of a process and exit."""
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != main_process:
        pass
    os._exit(0)
