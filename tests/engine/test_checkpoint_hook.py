"""Checkpoints are written whole or not at all; the rest of the hook is in test_kill_and_resume."""

import errno
import os
from pathlib import Path

import pytest
import torch
from mmengine.hooks import CheckpointHook

from vminet_mm.engine import ConfigError
from vminet_mm.engine.checkpoint_hook import SafeCheckpointHook, replacing
from vminet_mm.engine.resume import ResumableRunner


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
