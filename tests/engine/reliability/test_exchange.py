"""What two real processes exchange, how often, and when it arrives."""

import os
import signal
from pathlib import Path

import torch
from mmengine.hooks import Hook
from operations import Operations
from test_nonfinite import Model, runner
from torch import distributed as dist
from two_processes import run_in_two_processes

from vminet_mm.engine.reliability.exchange import LargestOfAll
from vminet_mm.engine.reliability.nonfinite import _message
from vminet_mm.engine.reliability.stopping import StopSignals
from vminet_mm.errors import RunStoppedError

TERM, INT = signal.SIGTERM, signal.SIGINT


def test_one_process_reads_its_own() -> None:
    assert LargestOfAll(torch.tensor([3, 0])).read() == [3, 0]


def test_message_of_a_loss_takes_three_kernels_and_no_copy() -> None:
    finite, not_finite = torch.tensor(65504.0).half(), (float('inf'), float('-inf'), float('nan'))
    with Operations() as operations:
        message = _message(finite, 15)
    assert operations.names == ['full', 'mul', 'ne']  # no item, no copy: nothing to wait for
    assert message.tolist() == [0, 15]
    for value in not_finite:
        assert _message(torch.tensor([value]), 2).tolist() == [1, 2]


class Told(Hook):
    """Counts the messages of each iteration; a process asks itself to stop in the third."""

    priority = 'HIGHEST'

    def __init__(self, rank: int) -> None:
        self.rank, self.messages, self.sent = rank, [], dist.all_reduce
        dist.all_reduce = self.count

    def count(self, *args, **kwargs):
        self.messages[-1:] = [self.messages[-1] + 1] if self.messages else []
        return self.sent(*args, **kwargs)

    def before_train_iter(self, runner, *args, **kwargs) -> None:
        self.messages.append(0)
        if runner.iter == 2 and self.rank == 1:
            os.kill(os.getpid(), TERM)


def stopped_run(work_dir: Path, rank: int, **settings) -> tuple[int, list[int]]:
    """The iterations done when a run stops, and the messages of each."""
    told, model = Told(rank), Model()
    run = runner(
        work_dir, told, model=model, train_cfg=dict(by_epoch=False, max_iters=6), **settings
    )
    try:
        run.train()
    except RunStoppedError as error:
        assert error.exit_code == 128 + TERM
    dist.all_reduce = told.sent
    return run.iter + 1, told.messages


def told_signals() -> list[int]:
    """What a process knows after each iteration, when the second is asked to stop in the third."""
    signals, known = StopSignals(), []
    for i in range(5):
        if i == 2:
            signals.asked = INT if dist.get_rank() else 0
        known.append(signals.after_iteration())
    return known


def _process(rank: int, folder: str) -> None:
    init_method = f'file://{folder}/store'
    dist.init_process_group('gloo', init_method=init_method, rank=rank, world_size=2)
    found = dict(
        largest=LargestOfAll(torch.tensor([rank, 5 - rank])).read(),
        signals=told_signals(),
        carried=stopped_run(Path(folder, 'a'), rank),
        alone=stopped_run(Path(folder, 'b'), rank, default_hooks=dict(non_finite=None)),
    )
    torch.save(found, f'{folder}/{rank}.pth')
    dist.barrier()
    dist.destroy_process_group()


def test_two_processes(tmp_path: Path) -> None:
    run_in_two_processes(_process, str(tmp_path))
    for rank in (0, 1):
        found = torch.load(tmp_path / f'{rank}.pth')
        assert found['largest'] == [1, 5]
        assert found['signals'] == [0, 0, 0, INT, INT]  # an iteration late
        # the loss's message takes the signal along: known after the iteration that it came in
        assert found['carried'] == (3, [1, 1, 1])
        # without it, a message of its own, an iteration late
        assert found['alone'] == (4, [1, 1, 1, 1])
