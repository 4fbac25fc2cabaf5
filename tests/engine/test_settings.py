"""Top-level settings that would be without effect."""

import pytest
from mmengine.config import Config

from vminet_mm.engine.settings import apply_vis_backends, require_read_settings
from vminet_mm.errors import ConfigError


@pytest.mark.parametrize(
    ('settings', 'word'),
    [
        (dict(runner_type='FlexibleRunner'), 'runner_type'),
        (dict(strategy=dict(type='SingleDeviceStrategy')), 'strategy'),
        (dict(lr_config=dict(policy='step')), 'param_scheduler'),
        (dict(checkpoint_config=dict(interval=1)), 'default_hooks'),
        (dict(train_dataloder=dict(batch_size=2)), 'train_dataloader is meant'),
        (dict(optim_wraper=dict(type='OptimWrapper')), 'optim_wrapper is meant'),
    ],
)
def test_not_read(settings: dict, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        require_read_settings(Config(settings))


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
