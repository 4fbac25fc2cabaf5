"""Loading configs and moving their data."""

from pathlib import Path

import pytest
from mmengine.config import Config

from vminet_mm.engine import load_config, set_data_root
from vminet_mm.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
COCO = ROOT / 'configs/mask_rcnn/mask-rcnn_vminet-xs_sfp_1x_coco.py'
ADE = ROOT / 'configs/upernet/upernet_vminet-xs_8xb2-160k_ade20k-512x512.py'
IMAGENET = ROOT / 'configs/cls/vminet-xs_3xb128-300e_in1k.py'


def test_overrides_and_work_dir() -> None:
    cfg = load_config(COCO, {'model.backbone.arch': 's', 'train_dataloader.batch_size': 1})
    assert cfg.model.backbone.arch == 's' and cfg.train_dataloader.batch_size == 1
    assert cfg.work_dir == './work_dirs/mask-rcnn_vminet-xs_sfp_1x_coco'
    assert load_config(COCO, work_dir='runs/a').work_dir == 'runs/a'


def test_no_workers_means_no_persistent_workers() -> None:
    cfg = load_config(COCO, {'train_dataloader.num_workers': 0})
    assert cfg.train_dataloader.persistent_workers is False
    assert cfg.val_dataloader.persistent_workers is True


def test_data_root_of_coco(tmp_path: Path) -> None:
    cfg = load_config(COCO, data_root=f'{tmp_path}/')
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == str(tmp_path)
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        assert evaluator.ann_file == f'{tmp_path}/annotations/instances_val2017.json'
    assert cfg.train_dataloader.dataset.ann_file == 'annotations/instances_train2017.json'


@pytest.mark.parametrize('path', [ADE, IMAGENET], ids=['ade', 'imagenet'])
def test_data_root_of_the_others(path: Path, tmp_path: Path) -> None:
    cfg = load_config(path, data_root=str(tmp_path))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == str(tmp_path)


def test_data_root_as_a_shell_leaves_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in --data-root=~/data, which bash does not expand."""
    (tmp_path / 'data').mkdir()
    monkeypatch.setenv('HOME', str(tmp_path))
    for text in ('~/data', '$HOME/data'):
        cfg = load_config(COCO, data_root=text)
        assert cfg.train_dataloader.dataset.data_root == f'{tmp_path}/data'


def test_work_dir_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / 'run').touch()
    with pytest.raises(ConfigError, match='is a file'):
        load_config(COCO, work_dir=str(tmp_path / 'run'))


def test_data_root_inside_of_wrappers(tmp_path: Path) -> None:
    part = dict(type='CocoDataset', data_root='data/a', ann_file='data/a/x.json', data_prefix={})
    other = dict(part, data_root='data/a/b/', ann_file='data/ab/x.json')
    repeated = dict(
        type='RepeatDataset', dataset=dict(type='ConcatDataset', datasets=[part, other])
    )
    evaluators = [dict(type='CocoMetric', ann_file='data/a/b/y.json')]
    cfg = Config(dict(train_dataloader=dict(dataset=repeated), val_evaluator=evaluators))
    set_data_root(cfg, str(tmp_path))
    first, second = cfg.train_dataloader.dataset.dataset.datasets
    assert first.data_root == str(tmp_path) and first.ann_file == f'{tmp_path}/x.json'
    assert second.data_root == str(tmp_path) and second.ann_file == 'data/ab/x.json'
    assert cfg.val_evaluator[0].ann_file == f'{tmp_path}/y.json'


def test_an_empty_data_root_moves_nothing_else(tmp_path: Path) -> None:
    dataset = dict(data_root='', ann_file='', data_prefix=dict(img='/abs/img'))
    other = dict(data_root='data/a', ann_file='')
    cfg = Config(dict(train_dataloader=dict(dataset=dict(datasets=[dataset, other]))))
    set_data_root(cfg, str(tmp_path))
    first, second = cfg.train_dataloader.dataset.datasets
    assert first.data_root == '' and first.ann_file == '' and first.data_prefix.img == '/abs/img'
    assert second.data_root == str(tmp_path) and second.ann_file == ''
