"""Which checkpoint a run is resumed from, and what that changes of its config."""

import logging
import os
import re
from functools import partial
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger

from vminet_mm.engine.reliability.resume import (
    ResumableRunner,
    ResumePoint,
    _SkippedBatches,
    resume_from,
)
from vminet_mm.errors import CheckpointError, ConfigError


def config(work_dir: Path, **settings) -> Config:
    settings = dict(train_cfg=dict(by_epoch=True, max_epochs=3)) | settings
    return Config(dict(work_dir=str(work_dir), **settings))


def save(path: Path, epoch: int = 0, iteration: int = 0, age: int = 0, **meta) -> Path:
    """A checkpoint, so many seconds old."""
    torch.save(dict(meta=dict(epoch=epoch, iter=iteration, **meta), state_dict={}), path)
    os.utime(path, (1e9 - age, 1e9 - age))
    return path


def latest(folder: Path, path: Path | str) -> None:
    (folder / 'last_checkpoint').write_text(str(path))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def test_latest(tmp_path: Path) -> None:
    save(tmp_path / 'epoch_3.pth')  # newer, but killed before it was made the latest
    path = save(tmp_path / 'epoch_2.pth', 2, 10, age=9, seed=4)
    latest(tmp_path, path)
    cfg = config(tmp_path, randomness=dict(seed=None, deterministic=True))
    point = resume_from(cfg, None)
    assert (point.path, point.epoch, point.batches_done, point.seed) == (str(path), 2, 0, 4)
    assert point.remarks == (f'Auto resumed from the latest checkpoint {path}.',)
    assert cfg.resume is True and cfg.load_from == str(path)
    assert cfg.randomness == dict(seed=4, deterministic=True)


def test_seed_is_set_where_the_config_has_no_randomness(tmp_path: Path) -> None:
    cfg = config(tmp_path)
    resume_from(cfg, str(save(tmp_path / 'a.pth', seed=6)))
    assert cfg.randomness == dict(seed=6)


@pytest.mark.parametrize('damage', ['truncated', 'empty', 'gone'])
def test_one_before_a_damaged_one(tmp_path: Path, damage: str) -> None:
    save(tmp_path / 'epoch_1.pth', 1, age=20)
    before = save(tmp_path / 'epoch_2.pth', 2, age=10)
    damaged = save(tmp_path / 'epoch_3.pth', 3)
    save(tmp_path / 'best_top1_epoch_3.pth', 3)  # has no state of the optimizer
    latest(tmp_path, damaged)
    if damage == 'truncated':
        truncate(damaged)
    elif damage == 'empty':
        damaged.write_bytes(b'')
    else:
        damaged.unlink()
    point = resume_from(config(tmp_path), None)
    assert point.path == str(before) and point.epoch == 2
    first, second = point.remarks
    assert first.startswith(f'{damaged} is not used: ')
    assert dict(truncated='truncated', empty='empty', gone='can not be found')[damage] in first
    assert second == f'Auto resumed from the latest checkpoint {before}.'


def test_work_dir_that_was_moved(tmp_path: Path) -> None:
    path = save(tmp_path / 'iter_20.pth', 0, 20)
    latest(tmp_path, '/elsewhere/iter_20.pth')
    assert resume_from(config(tmp_path), None).path == str(path)


def test_empty_note(tmp_path: Path) -> None:
    path = save(tmp_path / 'interrupted.pth')
    latest(tmp_path, '')
    assert resume_from(config(tmp_path), None).path == str(path)


def test_no_whole_checkpoint(tmp_path: Path) -> None:
    path = save(tmp_path / 'epoch_1.pth')
    latest(tmp_path, path)
    truncate(path)
    with pytest.raises(ConfigError, match=r'epoch_1\.pth is not used'):
        resume_from(config(tmp_path), None)


def test_nothing_to_resume(tmp_path: Path) -> None:
    cfg = config(tmp_path, load_from='pretrained.pth', randomness=dict(seed=1))
    assert resume_from(cfg, None) is None
    # the run begins as it did when it left nothing
    assert cfg.resume is False and cfg.load_from == 'pretrained.pth' and cfg.randomness.seed == 1


def test_file_that_was_asked_for_has_no_substitute(tmp_path: Path) -> None:
    asked = save(tmp_path / 'epoch_2.pth')
    latest(tmp_path, save(tmp_path / 'epoch_1.pth', 1))
    truncate(asked)
    with pytest.raises(CheckpointError, match='truncated'):
        resume_from(config(tmp_path), str(asked))
    torch.save(dict(state_dict={}), asked)
    with pytest.raises(CheckpointError, match='weights and not the state of a run'):
        resume_from(config(tmp_path), str(asked))
    assert resume_from(config(tmp_path), str(tmp_path / 'epoch_1.pth')).remarks == ()


@pytest.mark.parametrize(
    ('by_iteration', 'done', 'now', 'outcome'),
    [
        (True, 7, 8, 'refused'),
        (False, 2, 8, 'refused'),
        (False, 0, 8, 'warned'),  # at the begin of an epoch
        (False, 2, 4, 'same'),
        (True, 7, None, 'same'),  # unknown
    ],
)
def test_another_number_of_images(
    by_iteration: bool, done: int, now: int | None, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings: list[str] = []
    runner = SimpleNamespace(
        resume_point=ResumePoint('a.pth', 0, 1, done, 4),
        logger=SimpleNamespace(warning=warnings.append),
    )
    monkeypatch.setattr(
        'vminet_mm.engine.reliability.resume.images_per_iteration', lambda loader: now
    )
    check = partial(ResumableRunner._require_same_batches, runner, None, by_iteration)
    if outcome == 'refused':
        with pytest.raises(ConfigError, match='4 images.*8.*batch_size'):
            check()
    else:
        check()
    assert len(warnings) == (outcome == 'warned')


def test_a_run_of_an_earlier_version(tmp_path: Path) -> None:
    path = tmp_path / 'epoch_1.pth'
    old = {f'backbone.stages.0.1.{part}': torch.ones(1) for part in ('dwconv.conv.weight', 'beta')}
    torch.save(dict(meta=dict(epoch=1, iter=4), state_dict=old), path)
    with pytest.raises(CheckpointError, match='earlier version.*load_from'):
        resume_from(config(tmp_path), str(path))


def test_batches_done(tmp_path: Path) -> None:
    by_iteration = dict(train_cfg=dict(type='IterBasedTrainLoop', max_iters=9))
    ours = str(save(tmp_path / 'interrupted.pth', 1, 7, batches_done=2))
    assert resume_from(config(tmp_path), ours).batches_done == 2
    # of MMEngine's own hook
    theirs = str(save(tmp_path / 'theirs.pth', 1, 7))
    assert resume_from(config(tmp_path), theirs).batches_done == 0
    assert resume_from(config(tmp_path, **by_iteration), theirs).batches_done == 7


@pytest.mark.parametrize(
    'meta', [dict(epoch='1'), dict(batches_done=-1), dict(seed=0.5), dict(seed=-3)]
)
def test_numbers_that_are_none(tmp_path: Path, meta: dict) -> None:
    path = tmp_path / 'epoch_1.pth'
    torch.save(dict(meta=dict(epoch=0, iter=0) | meta), path)
    with pytest.raises(CheckpointError, match=str(next(iter(meta.values())))):
        resume_from(config(tmp_path), str(path))


def test_the_batches_before_are_skipped_at_no_cost() -> None:
    """MMEngine's loop draws them one by one; OneDL's asks for them at once."""
    one_by_one, at_once = (_SkippedBatches(3, iter('ab')) for _ in range(2))
    assert [next(one_by_one) for _ in range(3)] == [None] * 3
    at_once.skip_iter(3)
    assert list(one_by_one) == list(at_once) == ['a', 'b']


def test_the_config_is_logged_into_the_file_alone(tmp_path: Path) -> None:
    console, file = StringIO(), StringIO()
    logger = MMLogger('of this test')
    logger.handlers = [logging.StreamHandler(console), handler := logging.FileHandler(os.devnull)]
    handler.setStream(file)
    runner = ResumableRunner.__new__(ResumableRunner)
    runner.logger, runner.cfg = logger, Config(dict(answer=42))
    runner._log_dir, runner._timestamp = str(tmp_path), 'now'
    runner._randomness_cfg, runner._launcher = {}, 'none'
    runner._distributed, runner._world_size, runner._seed = False, 1, 0
    runner._log_env({})
    # with blanks or without: the tests leave configs unformatted
    assert re.search('answer ?= ?42', file.getvalue())
    assert 'answer' not in console.getvalue()
    assert 'System environment' in console.getvalue()
    assert str(tmp_path / 'now.log') in console.getvalue()
    logger.info('Config:\nlater')
    assert 'later' in console.getvalue()
