"""Top-level settings that would be without effect."""

import json
import re
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import VISUALIZERS, DefaultScope
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vminet_mm.engine import load_config, settings
from vminet_mm.engine.settings import (
    apply_vis_backends,
    require_numbers,
    require_read_settings,
    require_vis_packages,
)
from vminet_mm.errors import ConfigError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ('options', 'word'),
    [
        (dict(runner_type='FlexibleRunner'), 'runner_type'),
        (dict(strategy=dict(type='SingleDeviceStrategy')), 'strategy'),
        (dict(model_wrapper_cfg=dict(type='MMFullyShardedDataParallel')), 'DDP'),
        (dict(lr_config=dict(policy='step')), 'param_scheduler'),
        (dict(checkpoint_config=dict(interval=1)), 'default_hooks'),
        (dict(train_dataloder=dict(batch_size=2)), 'train_dataloader is meant'),
        (dict(optim_wraper=dict(type='OptimWrapper')), 'optim_wrapper is meant'),
    ],
)
def test_not_read(options: dict, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        require_read_settings(Config(options))


CLASSIFIER = 'configs/cls/vminet-ti_mini.py'


@pytest.mark.parametrize(
    ('option', 'value'),
    [
        ('train_dataloader.batch_size', 0),
        ('train_dataloader.batch_size', '2'),
        ('val_dataloader.batch_size', 1.5),
        ('train_dataloader.num_workers', -1),
        ('train_cfg.max_epochs', 0),
        ('train_cfg.val_interval', 0),
        ('optim_wrapper.optimizer.lr', 0.0),
        ('optim_wrapper.optimizer.lr', '1e-3'),
    ],
)
def test_numbers_of_a_training(option: str, value: object) -> None:
    assert require_numbers(load_config(ROOT / CLASSIFIER, {'train_cfg.max_epochs': 2e1})) is None
    with pytest.raises(ConfigError, match=f'{option} is {value!r}'):
        require_numbers(load_config(ROOT / CLASSIFIER, {option: value}))


def test_variables_are_left_alone() -> None:
    variables = dict(
        max_epochs=3,
        batch_size=4,
        train_pipeline=[dict(type='LoadImageFromFile')],
        norm_cfg=dict(type='BN'),
        dataset_type='CocoDataset',
        runner_type='Runner',
        optimizer=dict(type='SGD', lr=0.01),  # as in mmseg's schedules
        val_dataloader_b=dict(batch_size=1),
        seed=0,
        resume_from=None,
        file_client_args=dict(backend='disk'),
    )
    assert require_read_settings(Config(variables)) is None


LOCAL, BOARD = dict(type='LocalVisBackend'), dict(type='TensorboardVisBackend')


@pytest.mark.parametrize(
    ('top', 'inner', 'options', 'expected'),
    [
        ([LOCAL, BOARD], [LOCAL], {}, [LOCAL, BOARD]),  # changed in a config below
        ([LOCAL], [LOCAL, BOARD], {}, [LOCAL, BOARD]),  # the visualizer was changed
        ([BOARD], [LOCAL, BOARD], {'vis_backends.0.type': 'TensorboardVisBackend'}, [BOARD]),
        (None, [LOCAL], {}, [LOCAL]),
    ],
)
def test_vis_backends(top: list | None, inner: list, options: dict, expected: list) -> None:
    cfg = Config(dict(visualizer=dict(type='Visualizer', vis_backends=inner)))
    if top:
        cfg.vis_backends = top
    apply_vis_backends(cfg, options)
    assert cfg.visualizer.vis_backends == expected


def test_the_documented_line_writes_for_tensorboard(tmp_path: Path) -> None:
    """In a config of one's own that inherits a shipped one."""
    page = (ROOT / 'docs/visualization.md').read_text()
    (line,) = re.findall('^vis_backends = .*TensorboardVisBackend.*$', page, re.MULTILINE)
    config = tmp_path / 'config.py'
    config.write_text(f"_base_ = 'vminet_mm::cls/vminet-ti_mini.py'\n{line}\n")
    cfg = load_config(config)
    apply_vis_backends(cfg, {})
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        visualizer = VISUALIZERS.build(dict(cfg.visualizer, name='b', save_dir=str(tmp_path)))
    for step, loss in enumerate((2.5, 1.25)):
        visualizer.add_scalars(dict(loss=loss), step=step)
    visualizer.close()
    events = EventAccumulator(str(tmp_path / 'vis_data')).Reload()
    assert [event.value for event in events.Scalars('loss')] == [2.5, 1.25]
    lines = (tmp_path / 'vis_data/scalars.json').read_text().splitlines()
    assert [json.loads(line)['loss'] for line in lines] == [2.5, 1.25]


@pytest.mark.parametrize('kind', ['WandbVisBackend', 'mmengine.WandbVisBackend'])
def test_backend_without_its_package(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = Config(dict(visualizer=dict(vis_backends=[LOCAL, dict(type=kind)])))
    monkeypatch.setattr(settings, 'find_spec', lambda name: None)
    with pytest.raises(ConfigError, match='pip install wandb'):
        require_vis_packages(cfg)
    monkeypatch.setattr(settings, 'find_spec', lambda name: name)
    assert require_vis_packages(cfg) is None


def test_no_backend_needs_nothing() -> None:
    for visualizer in (None, dict(type='Visualizer'), dict(vis_backends=None)):
        assert require_vis_packages(Config(dict(visualizer=visualizer))) is None
