"""Checkpoints are written whole or not at all; the rest of the hook is in test_kill_and_resume."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.hooks import CheckpointHook
from mmengine.registry import DefaultScope
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import DataLoader

from vminet_mm.compat.safe_load import safe_load
from vminet_mm.engine.reliability.checkpoint_hook import SafeCheckpointHook, replacing
from vminet_mm.engine.reliability.resume import ResumableRunner
from vminet_mm.errors import CheckpointWriteError, ConfigError


@pytest.fixture(autouse=True)
def _scope() -> Iterator[None]:
    """Leave no default scope behind, as a runner does."""
    with DefaultScope.overwrite_default_scope('mmengine'):
        yield


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_gets_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / 'epoch_1.pth'
    path.write_text('old')
    with replacing(path) as partial:
        partial.write_text('new')
        assert path.read_text() == 'old' and partial.parent == tmp_path
        assert not partial.match('*.pth')  # so nobody takes it for a checkpoint
    assert path.read_text() == 'new' and names(tmp_path) == ['epoch_1.pth']


@pytest.mark.parametrize(
    ('number', 'text'),
    [
        (errno.ENOSPC, 'No space left on device'),
        (errno.EROFS, 'Read-only file system'),
        (errno.EACCES, 'Permission denied'),
        (errno.EDQUOT, 'quota exceeded'),
    ],
)
def test_refusal_leaves_the_file_before(tmp_path: Path, number: int, text: str) -> None:
    path = tmp_path / 'epoch_1.pth'
    path.write_text('old')
    message = rf'epoch_1\.pth could not be written: .*{text}.*whole'
    with pytest.raises(ConfigError, match=message), replacing(path) as partial:
        partial.write_text('ne')
        raise OSError(number, os.strerror(number))
    assert path.read_text() == 'old' and names(tmp_path) == ['epoch_1.pth']


def test_full_disk(tmp_path: Path) -> None:
    runner = ResumableRunner(torch.nn.Linear(2, 3), str(tmp_path), experiment_name=str(tmp_path))
    runner._train_loop = EpochBasedTrainLoop(runner, DataLoader([0]), max_epochs=1)
    save = dict(save_optimizer=False, save_param_scheduler=False)
    runner.save_checkpoint(tmp_path, 'epoch_1.pth', **save)
    path = tmp_path / 'epoch_1.pth'
    before = path.read_bytes()
    # a device that has no room, where the file is written before it gets its name
    (tmp_path / '.epoch_1.pth.partial').symlink_to('/dev/full')
    with pytest.raises(CheckpointWriteError, match='No space left on device.*--resume'):
        runner.save_checkpoint(tmp_path, 'epoch_1.pth', **save)
    assert path.read_bytes() == before and [*tmp_path.glob('*.pth')] == [path]
    assert not [*tmp_path.glob('.*')]
    runner.save_checkpoint(tmp_path, 'epoch_1.pth', **save)  # there is room again
    assert safe_load(path)['state_dict'].keys() == {'weight', 'bias'}


def test_read_only_folder() -> None:
    message = r'/sys/epoch_1\.pth could not be written: (Permission denied|Read-only file system)'
    with (
        pytest.raises(CheckpointWriteError, match=message),
        replacing(Path('/sys/epoch_1.pth')) as partial,
    ):
        partial.write_text('a')


def test_folder_that_is_gone(tmp_path: Path) -> None:
    message = 'could not be written: No such file'
    with pytest.raises(ConfigError, match=message), replacing(tmp_path / 'gone/a') as partial:
        partial.write_text('a')


@pytest.mark.parametrize('error', [KeyboardInterrupt, ValueError])
def test_other_errors_pass(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), replacing(tmp_path / 'a') as partial:
        partial.write_text('a')
        raise error
    assert names(tmp_path) == []


def checkpoint_hooks(work_dir: Path, hook: dict | None) -> list[CheckpointHook]:
    """The checkpoint hooks of a runner whose config has this one."""
    runner = ResumableRunner(
        torch.nn.Linear(1, 1),
        str(work_dir),
        default_hooks=dict(checkpoint=hook),
        experiment_name=str(work_dir),
    )
    return [found for found in runner.hooks if isinstance(found, CheckpointHook)]


@pytest.mark.parametrize('scope', ['', 'mmengine.'])
def test_hook_takes_the_place_of_mmengines(tmp_path: Path, scope: str) -> None:
    hook = dict(type=f'{scope}CheckpointHook', interval=5, max_keep_ckpts=2)
    (found,) = checkpoint_hooks(tmp_path, hook)
    assert type(found) is SafeCheckpointHook
    assert found.interval == 5 and found.max_keep_ckpts == 2


def test_hook_of_ones_own_and_none_are_kept(tmp_path: Path) -> None:
    class Own(CheckpointHook):
        pass

    assert [type(hook) for hook in checkpoint_hooks(tmp_path / 'a', dict(type=Own))] == [Own]
    assert checkpoint_hooks(tmp_path / 'b', None) == []


def test_best_of_a_metric_that_there_is_not() -> None:
    hook = SafeCheckpointHook(save_best='mIoU', rule='greater')
    with pytest.raises(ConfigError, match='gives no mIoU, but accuracy/top1, accuracy/top5'):
        hook.after_val_epoch(None, {'accuracy/top1': 1.0, 'accuracy/top5': 2.0})
