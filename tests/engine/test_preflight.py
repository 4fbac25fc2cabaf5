"""What is said before any long work starts."""

from pathlib import Path

import pytest
from mmengine.config import Config

from vminet_mm.datasets.config_parts import dataset_paths
from vminet_mm.engine import require_data
from vminet_mm.engine.preflight import LOCAL_RANKS, local_rank
from vminet_mm.errors import ConfigError


def coco(root: Path) -> Config:
    def loader(split: str) -> dict:
        ann_file = f'annotations/instances_{split}2017.json'
        prefix = dict(img=f'{split}2017/')
        dataset = dict(data_root=str(root), ann_file=ann_file, data_prefix=prefix)
        return dict(dataset=dict(type='RepeatDataset', dataset=dataset))

    return Config(dict(train_dataloader=loader('train'), val_dataloader=loader('val')))


def test_complete_layout_passes(tmp_path: Path) -> None:
    cfg = coco(tmp_path)
    for split in ('train', 'val'):
        (tmp_path / f'{split}2017').mkdir()
        (tmp_path / 'annotations').mkdir(exist_ok=True)
        (tmp_path / f'annotations/instances_{split}2017.json').touch()
    assert require_data(cfg, ('train', 'val')) is None
    (tmp_path / 'val2017').rmdir()
    assert require_data(cfg, ('train',)) is None
    with pytest.raises(ConfigError, match=f'val: {tmp_path}/val2017 is missing'):
        require_data(cfg, ('train', 'val'))


def test_evaluator_and_remote_files(tmp_path: Path) -> None:
    cfg = Config(dict(val_evaluator=[dict(type='CocoMetric', ann_file=f'{tmp_path}/a.json')]))
    with pytest.raises(ConfigError, match=f'val: {tmp_path}/a.json is missing'):
        require_data(cfg, ('val',))
    remote = dict(data_root='s3://bucket', ann_file='a.json', data_prefix=dict(img='b'))
    cfg = Config(dict(val_dataloader=dict(dataset=remote)))
    assert require_data(cfg, ('val',)) is None


def test_everything_missing_is_named_with_the_layouts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        require_data(coco(tmp_path / 'absent'), ('train', 'val'))
    lines = str(error.value).splitlines()
    assert sum('is missing' in line for line in lines) == 4
    assert any('vminet_mm make-mini-data' in line for line in lines)


@pytest.mark.parametrize(
    ('dataset', 'expected'),
    [
        (dict(data_root='d', ann_file='a.json', data_prefix=dict(img='i/')), ['d/i', 'd/a.json']),
        (dict(data_root='d', data_prefix=dict(img_path='i', seg_map_path='s')), ['d/i', 'd/s']),
        (dict(type='ImageNet', data_root='d', split='train'), ['d/train']),
        (dict(type='mmpretrain.ImageNet', data_root='d', split='val'), ['d/val']),
        (dict(type='VOC', data_root='d', split='trainval'), ['d']),
        (dict(type='CIFAR10', data_root='d', split='test'), []),
        (dict(type='MNIST', data_root='d', split='test', download=False), ['d']),
        (dict(data_root='d', data_prefix='val', ann_file=''), ['d/val']),
        (dict(data_root='d', ann_file='/abs/a.json'), ['/abs/a.json']),
        (dict(data_root='d'), ['d']),
        (dict(type='Generated'), []),
    ],
    ids=str,
)
def test_dataset_paths(dataset: dict, expected: list[str]) -> None:
    assert dataset_paths(dataset) == expected


@pytest.mark.parametrize(
    ('given', 'rank'),
    [
        ({}, 0),
        (dict(SLURM_LOCALID='3'), 3),
        (dict(OMPI_COMM_WORLD_LOCAL_RANK='2'), 2),
        (dict(LOCAL_RANK='1', SLURM_LOCALID='0'), 1),  # torchrun inside of a Slurm task
    ],
    ids=str,
)
def test_local_rank(given: dict, rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LOCAL_RANKS:
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert local_rank() == rank
