"""Fixes that a report prints work when they are pasted."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from vminet_mm.datasets.checks.report import name_classes, set_option
from vminet_mm.engine import add_cfg_options, load_config

CONFIG = 'configs/mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py'
ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    'names',
    [
        ['circle', 'cross'],
        ['circle'],
        [f'class-{i}' for i in range(150)],
        ['\u5706', 'r\u00e9seau_2'],
        ['traffic light', 'car'],
        ['a,b'],
        ['it\'s "so"', '$HOME `x` \\ !'],
        ['[1]', '(a', 'b)'],
        ['1', '2.5'],
        ['true', 'None', 'inf', '1e5'],
    ],
    ids=lambda names: names[0],
)
def test_classes_as_they_are_pasted(names: list[str], tmp_path: Path) -> None:
    text = name_classes('train', names)
    config, options = tmp_path / 'own.py', None
    config.write_text(f'_base_ = {str(ROOT / CONFIG)!r}\n')
    if text.startswith('--cfg-options'):
        parser = argparse.ArgumentParser()
        add_cfg_options(parser)
        options = parser.parse_args(shlex.split(text)).cfg_options
    else:
        statement = re.fullmatch('in the config (.*)', text).group(1)
        config.write_text(f'{config.read_text()}{statement}\n')
    cfg = load_config(config, options)
    assert list(cfg.train_dataloader.dataset.metainfo.classes) == names


def test_plain_names_are_given_as_an_option() -> None:
    assert name_classes('val', ['a', 'b-c']) == (
        '--cfg-options val_dataloader.dataset.metainfo.classes="[a,b-c]"'
    )


@pytest.mark.parametrize(
    ('text', 'is_option'),
    [
        ('/data/a-b_c.json', True),
        ('runs/epoch_1.pth', True),
        ('_labelIds.png', True),
        ('/my data/a.json', False),  # MMEngine removes spaces
        ('a,b.json', False),
        ('$HOME/a.json', False),
        ("it's.json", False),
        ('7', False),
    ],
)
def test_texts_as_they_are_pasted(text: str, is_option: bool) -> None:
    way = set_option('load_from', text)
    assert way.startswith('--cfg-options') == is_option
    if is_option:
        parser = argparse.ArgumentParser()
        add_cfg_options(parser)
        assert parser.parse_args(shlex.split(way)).cfg_options == dict(load_from=text)
    else:
        assert way == f'in the config load_from = {text!r}'


def test_parts_as_they_are_pasted() -> None:
    assert set_option('a.b.c', 'x y') == "in the config a = dict(b=dict(c='x y'))"
    assert set_option('a.0.c', 'x y') == "in the config set a.0.c to 'x y'"
