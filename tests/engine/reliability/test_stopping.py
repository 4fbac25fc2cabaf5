"""Graceful shutdown on signals; workers and several processes are in test_kill_and_resume."""

import argparse
import os
import signal
from collections.abc import Iterator
from multiprocessing import active_children, get_context
from threading import Thread

import pytest

from vminet_mm.engine import run_tool
from vminet_mm.engine.reliability.stopping import StopSignals
from vminet_mm.errors import RunStoppedError


@pytest.fixture
def signals() -> Iterator[StopSignals]:
    # a shell starts what runs in the background with SIGINT ignored
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGTERM, signal.SIGINT)}
    caught = StopSignals()
    caught.listen()
    yield caught
    caught.restore()
    assert {signum: signal.getsignal(signum) for signum in before} == before
    signal.signal(signal.SIGINT, ignored)


@pytest.mark.parametrize('signum', [signal.SIGTERM, signal.SIGINT])
def test_signal_is_remembered(signals: StopSignals, signum: int) -> None:
    assert signals.after_iteration() == signals.now() == 0
    os.kill(os.getpid(), signum)
    assert signals.after_iteration() == signals.now() == signum


def test_repeated_sigterm_is_the_same_wish(signals: StopSignals) -> None:
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signals.now() == signal.SIGTERM


def test_second_ctrl_c_interrupts(signals: StopSignals) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(('signum', 'code'), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_exit_code(signum: int, code: int, capsys: pytest.CaptureFixture) -> None:
    def stopped(args: argparse.Namespace) -> None:
        raise RunStoppedError(signum, 'work_dirs/a/interrupted.pth')

    with pytest.raises(SystemExit) as ended:
        run_tool(stopped, argparse.Namespace())
    assert ended.value.code == code
    said = f'stopped by {signum.name}. work_dirs/a/interrupted.pth holds the state: go on'
    assert said in capsys.readouterr().err


def test_a_pool_that_was_forked_can_end_its_workers(signals: StopSignals) -> None:
    """Such as that of mmdet's VOC metric, in the validations of a training."""
    pool = get_context('fork').Pool(2)
    assert pool.map(abs, [-1, 2]) == [1, 2]
    workers = [process.pid for process in active_children()]
    for worker in workers:
        os.kill(worker, signal.SIGINT)  # of a terminal, to all: the validation goes on
    assert pool.map(abs, [-3]) == [3]
    pool.terminate()
    ending = Thread(target=pool.join, daemon=True)
    ending.start()
    ending.join(timeout=20)
    assert not ending.is_alive() and signals.asked == 0
    assert not set(workers) & {process.pid for process in active_children()}


def test_a_fork_is_ended_however_early_the_signal_comes(signals: StopSignals) -> None:
    """A pool of a short validation ends workers that have hardly begun, or wait for a lock."""
    lock = get_context('fork').Semaphore(0)
    for _ in range(5):
        worker = os.fork()
        if worker == 0:
            lock.acquire()
            os._exit(0)
        os.kill(worker, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == -signal.SIGTERM
    assert signals.asked == 0
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.asked == signal.SIGTERM
