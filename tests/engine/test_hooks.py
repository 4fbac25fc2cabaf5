"""The statistics of batch norms, averaged over two real processes."""

from pathlib import Path

import torch
from operations import Operations
from torch import distributed as dist
from torch import nn
from two_processes import run_in_two_processes

from vminet_mm.engine.hooks import NormStatisticsHook, average_statistics, norms_with_statistics


def model(rank: int) -> nn.Module:
    """Two norms whose numbers differ between the processes, one without statistics, and two that
    are left alone: one in evaluation mode, and one that synchronizes itself."""
    norms = nn.BatchNorm2d(3), nn.BatchNorm1d(2, track_running_stats=False), nn.BatchNorm2d(1)
    layers = nn.Sequential(*norms, nn.BatchNorm2d(1).eval(), nn.SyncBatchNorm(2))
    for i in (0, 2, 3, 4):
        layers[i].running_mean.fill_(i + rank)
        layers[i].running_var.fill_(1 + 2 * rank)
        layers[i].weight.data.fill_(rank)
    return layers


def _process(rank: int, folder: str) -> None:
    init_method = f'file://{folder}/store'
    dist.init_process_group('gloo', init_method=init_method, rank=rank, world_size=2)
    layers = model(rank)
    runner = type('Runner', (), {'model': layers})()
    hook = NormStatisticsHook()
    hook.before_train(runner)
    with Operations() as operations:
        hook.after_train_iter(runner, 0)
    average_statistics([])  # nothing to average
    state = layers.state_dict() | dict(operations=operations.names)
    torch.save(state, f'{folder}/{rank}.pth')
    dist.destroy_process_group()


def test_mean_over_processes(tmp_path: Path) -> None:
    run_in_two_processes(_process, str(tmp_path))
    for rank in (0, 1):
        state = torch.load(tmp_path / f'{rank}.pth')
        for i, channels in ((0, 3), (2, 1)):
            assert state[f'{i}.running_mean'].tolist() == [i + 0.5] * channels
            assert state[f'{i}.running_var'].tolist() == [2.0] * channels
            assert state[f'{i}.weight'].tolist() == [rank] * channels  # parameters are left alone
        for i, channels in ((3, 1), (4, 2)):
            assert state[f'{i}.running_mean'].tolist() == [i + rank] * channels
        # as many for any number of norms
        assert state['operations'] == ['cat', 'allreduce_', 'div_', '_foreach_copy_']


def test_norms_that_are_averaged() -> None:
    layers = model(0)
    assert norms_with_statistics(layers) == [layers[0], layers[2], layers[3]]


def test_one_process_changes_nothing() -> None:
    layers = model(1)
    runner = type('Runner', (), {'model': layers})()
    NormStatisticsHook().after_train_iter(runner, 0)
    assert layers[0].running_mean.tolist() == [1, 1, 1]


def test_runs_before_the_hooks_that_copy_or_save() -> None:
    from mmengine.hooks import CheckpointHook, EMAHook
    from mmengine.runner.priority import get_priority

    mine = get_priority(NormStatisticsHook.priority)
    assert mine < get_priority(EMAHook.priority) < get_priority(CheckpointHook.priority)
