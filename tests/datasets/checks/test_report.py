"""Fixes that a report prints work when they are pasted."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from vminet_mm.datasets.checks.report import name_classes
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
