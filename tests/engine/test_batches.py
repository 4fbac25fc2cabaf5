"""Batches that a training cannot take."""

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn
from torch.utils.data import DataLoader, SequentialSampler

from vminet_mm.engine.batches import images_per_iteration, require_norms_fed, require_norms_fed_by
from vminet_mm.errors import ConfigError


def pooled(norm: type[nn.Module] = nn.BatchNorm2d, size: int | tuple = 1) -> nn.Module:
    """A branch as in UPerNet and ASPP: pooling, convolution, norm."""
    conv = nn.Sequential(nn.Conv2d(3, 4, 1), norm(4))
    return nn.ModuleDict(dict(head=nn.Sequential(nn.AdaptiveAvgPool2d(size), conv)))


def loader(number: int, batch_size: int, **options) -> DataLoader:
    return DataLoader(list(range(number)), batch_size=batch_size, **options)


class InfiniteSampler(SequentialSampler):
    """Of the kind that iteration-based training uses."""


@pytest.mark.parametrize(
    ('model', 'data', 'word'),
    [
        (pooled(), loader(8, 1), 'batch_size'),
        (pooled(size=(1, 1)), loader(9, 4), 'drop_last'),
        (pooled(nn.SyncBatchNorm), loader(8, 1), 'batch_size'),  # of one process
    ],
)
def test_one_image(model: nn.Module, data: DataLoader, word: str) -> None:
    with pytest.raises(ConfigError, match=rf'head\.1\.1 .*{word}'):
        require_norms_fed(model, data)


@pytest.mark.parametrize(
    ('model', 'data'),
    [
        (pooled(), loader(8, 2)),
        (pooled(), loader(9, 4, drop_last=True)),
        (pooled(), loader(9, 4, sampler=InfiniteSampler(range(9)))),
        (pooled(size=2), loader(8, 1)),
        (pooled(nn.InstanceNorm2d), loader(8, 1)),
        (nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)), loader(8, 1)),
        (nn.Sequential(nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1)), loader(8, 1)),
    ],
)
def test_what_can_be_trained(model: nn.Module, data: DataLoader) -> None:
    assert require_norms_fed(model, data) is None


def test_one_vector() -> None:
    """The norms of a classifier's head see one vector of each image."""
    head = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    model = nn.ModuleDict(dict(backbone=nn.BatchNorm1d(3), head=head))
    with pytest.raises(ConfigError, match=r'batch_size=1: head\.1 is a batch norm'):
        require_norms_fed(model, loader(8, 1))
    assert require_norms_fed(model, loader(8, 2)) is None


@pytest.mark.parametrize(
    ('loader', 'number', 'word'),
    [
        (dict(batch_size=1, sampler=dict(type='InfiniteSampler')), 8, 'batch_size=2'),
        (dict(batch_size=4), 9, 'drop_last'),
        (dict(batch_size=4, drop_last=True), 9, None),
        (dict(batch_size=4, sampler=dict(type='InfiniteSampler')), 9, None),
        (dict(batch_size=4), 8, None),
    ],
)
def test_before_a_run(loader: dict, number: int, word: str | None) -> None:
    """The data check says it, too, of the config alone."""
    MODELS.register_module('PooledBranch', force=True, module=pooled)
    cfg = Config(dict(model=dict(type='PooledBranch'), train_dataloader=loader))
    if word is None:
        assert require_norms_fed_by(cfg, number) is None
        return
    with pytest.raises(ConfigError, match=rf'head\.1\.1 .*{word}'):
        require_norms_fed_by(cfg, number)


def test_images_per_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('vminet_mm.engine.batches.get_world_size', lambda: 3)
    assert images_per_iteration(loader(8, 2)) == 6
    assert images_per_iteration(DataLoader([1, 2], batch_sampler=[[0], [1]])) is None
