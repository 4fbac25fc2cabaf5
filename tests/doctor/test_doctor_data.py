"""Data roots, and what a config needs."""

from pathlib import Path

import pytest

from vminet_mm.doctor import can_train
from vminet_mm.doctor.data import check_config, check_roots

ROOT = Path(__file__).resolve().parents[2]
MINI_CONFIG = str(ROOT / 'configs/cls/vminet-ti_mini.py')
COCO_CONFIG = str(ROOT / 'configs/mask_rcnn/mask-rcnn_vminet-xs_sfp_1x_coco.py')
USABLE = {'mmdet', 'mmseg', 'mmpretrain'}


def test_missing_roots_are_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'data/imagenet/train').mkdir(parents=True)
    (tmp_path / 'data/imagenet/val').mkdir()
    (tmp_path / 'data/coco/train2017').mkdir(parents=True)
    section = check_roots()
    assert section.facts == {
        'COCO': 'data/coco lacks annotations/instances_train2017.json',
        'ADE20K': 'data/ade/ADEChallengeData2016 is missing',
        'ImageNet': 'data/imagenet',
        'built-in': 'data/mini is missing',
    }
    assert can_train([section])
    fixes = [problem.fix for problem in section.problems]
    assert fixes[-2:] == [
        'mkdir -p data/ade && ln -s WHERE_THE_DATA_ARE data/ade/ADEChallengeData2016',
        'vminet_mm make-mini-data',
    ]


@pytest.mark.parametrize(
    ('folder', 'layout'),
    [('.', 'built-in'), ('coco', 'COCO'), ('ade', 'ADE20K'), ('imagenet', 'ImageNet')],
)
def test_a_data_root_is_recognized(mini_root: Path, folder: str, layout: str) -> None:
    section = check_roots(str(mini_root / folder))
    assert list(section.facts.values()) == [layout]
    assert section.problems == []


def test_a_data_root_without_a_layout(tmp_path: Path) -> None:
    section = check_roots(str(tmp_path / 'none'))
    assert 'has none of the layouts' in section.problems[0].what
    assert not can_train([section])


def test_a_config_whose_data_are_there(mini_root: Path) -> None:
    section, cfg = check_config(MINI_CONFIG, str(mini_root / 'imagenet'), USABLE)
    assert section.problems == []
    assert section.facts['package'] == 'mmpretrain'
    assert section.facts['data of train'] == str(mini_root / 'imagenet')
    assert cfg.work_dir == './work_dirs/vminet-ti_mini'


def test_a_config_whose_data_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    section, _ = check_config(COCO_CONFIG, None, USABLE)
    train, val = section.problems
    assert train.what == 'train: data/coco/train2017 and 1 more is missing'
    assert val.what.startswith('val: data/coco/val2017')
    assert train.fix == 'mkdir -p data && ln -s WHERE_THE_DATA_ARE data/coco'
    assert not can_train([section])
    section, _ = check_config(MINI_CONFIG, None, USABLE)
    make = 'vminet_mm make-mini-data'
    assert {problem.fix for problem in section.problems} == {make}


def test_a_config_whose_package_is_missing(mini_root: Path) -> None:
    section, _ = check_config(MINI_CONFIG, str(mini_root / 'imagenet'), {'mmdet'})
    (problem,) = section.problems
    assert 'needs mmpretrain, which cannot be used' in problem.what
    assert 'pip install' in problem.fix and 'mmpretrain' in problem.fix
    assert problem.fatal


@pytest.mark.parametrize(
    ('text', 'what', 'fix'),
    [
        (None, 'there is no config', 'ls configs/*/*.py'),
        ('model = dict(', 'SyntaxError', 'python -i '),
        ("_base_ = ['absent.py']", 'absent.py', 'python -i '),
    ],
)
def test_a_config_that_cannot_be_read(
    tmp_path: Path, text: str | None, what: str, fix: str
) -> None:
    file = tmp_path / 'config.py'
    if text is not None:
        file.write_text(text)
    section, cfg = check_config(str(file), None, USABLE)
    (problem,) = section.problems
    assert what in problem.what and problem.fix.startswith(fix) and cfg is None


def test_no_folder_for_the_data_root(tmp_path: Path) -> None:
    section, _ = check_config(MINI_CONFIG, str(tmp_path / 'none'), USABLE)
    assert section.problems[0].what == f'there is no folder {tmp_path / "none"}'


@pytest.mark.parametrize('several', [False, True])
def test_a_config_whose_checkpoint_is_missing(
    several: bool, mini_root: Path, tmp_path: Path
) -> None:
    file = tmp_path / 'config.py'
    init_cfg: dict | list = dict(type='Pretrained', checkpoint='in1k.pth')
    if several:
        init_cfg = [dict(type='Constant', val=1.0), init_cfg]
    file.write_text(
        f"_base_ = ['{MINI_CONFIG}']\nload_from = 'https://example.org/a.pth'\n"
        f'model = dict(backbone=dict(init_cfg={init_cfg}))\n'
    )
    section, _ = check_config(str(file), str(mini_root / 'imagenet'), USABLE)
    (problem,) = section.problems
    assert problem.what == 'there is no checkpoint in1k.pth'
    assert problem.fix == f'vminet_mm train {file} --pretrained WHERE_IT_IS'


def test_data_sets_without_files(tmp_path: Path) -> None:
    file = tmp_path / 'config.py'
    loader = dict(dataset=dict(type='Synthetic'))
    metric = dict(type='CocoMetric', ann_file=f'{tmp_path}/a.json')
    file.write_text(
        f'train_dataloader = {loader}\nval_dataloader = {loader}\nval_evaluator = {metric}\n'
    )
    section, _ = check_config(str(file), None, {'mmengine'})
    (problem,) = section.problems
    assert problem.what == f'val: {tmp_path}/a.json is missing' and problem.fix
    assert 'data of train' not in section.facts
