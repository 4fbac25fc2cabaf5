"""Checkpoints in the flows of the packages: detectors, segmentors, training and resuming."""

from collections.abc import Callable
from pathlib import Path

import torch
from checkpoint_files import OPTIONS, TINY, assert_loaded, load, published
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from mmengine.runner import Runner

from vminet_mm.checkpoints import read_checkpoint
from vminet_mm.compat.safe_load import safe_load
from vminet_mm.engine import load_config

ROOT = Path(__file__).parents[2]
CHANNELS = [4, 8, 16, 32]


def build(config: str, checkpoint: str, changes: dict) -> torch.nn.Module:
    """The model of a config with a tiny backbone, built and initialized as the runner does."""
    cfg = load_config(ROOT / 'configs' / config, changes)
    cfg.model.backbone.update(arch=TINY, img_size=32, **OPTIONS['first'])
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=checkpoint)
    scope = cfg.default_scope
    registry = __import__(f'{scope}.registry', fromlist=['MODELS']).MODELS
    with DefaultScope.overwrite_default_scope(scope):
        model = registry.build(cfg.model)
        model.init_weights()
    return model


def test_detector(write: Callable, log: list[str], tmp_path: Path) -> None:
    path = write(published('first'))
    changes = {'model.neck.in_channels': 32, 'model.roi_head.bbox_head.fc_out_channels': 8}
    model = build('mask_rcnn/mask-rcnn_vminet-xs_sfp_1x_coco.py', path, changes)
    expected = load(path, **OPTIONS['first']).state_dict()
    assert_loaded(model.backbone, expected)
    lines = [line for line in log if 'tensors loaded' in line]
    assert len(lines) == 2  # the detector's, and the one built to compare with
    assert '145 of 145 tensors loaded, 0 of them resized; 0 left as initialized; 2 of' in lines[0]
    assert model.backbone.norm_eval
    # the whole detector's file serves as well
    whole = tmp_path / 'detector.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(epoch=12)), whole)
    assert_loaded(load(str(whole), **OPTIONS['first']), expected)


def test_segmentor(write: Callable, log: list[str]) -> None:
    path = write(published('first'))
    changes = {
        'model.decode_head.in_channels': CHANNELS,
        'model.decode_head.channels': 8,
        'model.auxiliary_head.in_channels': 16,
    }
    model = build('upernet/upernet_vminet-xs_8xb2-160k_ade20k-512x512.py', path, changes)
    assert_loaded(model.backbone, load(path, **OPTIONS['first']).state_dict())
    lines = [line for line in log if 'tensors loaded' in line]
    assert '145 of 160 tensors loaded, 0 of them resized; 15 left as initialized' in lines[0]


@DATASETS.register_module()
class CheckpointTestImages(torch.utils.data.Dataset):
    """Six random images, of which four are of one class."""

    metainfo = dict(classes=('a', 'b'))

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict:
        from mmpretrain.structures import DataSample

        image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
        return dict(inputs=image, data_samples=DataSample().set_gt_label(int(index % 3 == 0)))


def runner(work_dir: Path, epochs: int = 1, **options) -> Runner:
    """A run of one epoch and more of a tiny classifier with averaged weights."""
    model = dict(
        type='ImageClassifier',
        backbone=dict(type='VMINet', arch=TINY, img_size=32, mask='hybrid'),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=2, in_channels=32),
        data_preprocessor=dict(mean=[127.5] * 3, std=[74.0] * 3),
    )
    loader = dict(
        batch_size=2,
        num_workers=0,
        dataset=dict(type='CheckpointTestImages'),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )
    cfg = Config(
        dict(
            model=model,
            work_dir=str(work_dir),
            default_scope='mmpretrain',
            experiment_name=f'{work_dir}-{epochs}',
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.1),
                paramwise_cfg=dict(custom_keys={'backbone.stem': dict(lr_mult=0.1)}),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            randomness=dict(seed=0),
            custom_hooks=[dict(type='EMAHook', momentum=0.5)],
            default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
            train_dataloader=loader,
            **options,
        )
    )
    return Runner.from_cfg(cfg)


def test_training_and_resuming(tmp_path: Path, log: list[str]) -> None:
    first = runner(tmp_path / 'run')
    first.train()
    path = str(tmp_path / 'run/epoch_1.pth')
    saved = safe_load(path)
    averaged, raw = saved['state_dict'], saved['ema_state_dict']
    name = 'backbone.norm.bias'  # which has a gradient as long as the head errs
    torch.testing.assert_close(raw['module.' + name], first.model.state_dict()[name].cpu())
    assert not torch.equal(averaged[name], raw['module.' + name])

    checkpoint = read_checkpoint(path)
    assert checkpoint.settings == dict(mask='hybrid', band_halfwidth=0.5)
    backbone = load(path, mask='hybrid')
    assert_loaded(backbone, {k[9:]: v for k, v in averaged.items() if k.startswith('backbone.')})

    second = runner(tmp_path / 'run', epochs=2, load_from=path, resume=True)
    lines: list[str] = []
    second.logger.handlers[0].emit = lambda record: lines.append(record.getMessage())
    second.train()
    assert second.epoch == 2
    assert any('resumed epoch: 1' in line for line in lines)
    assert not any('do not match exactly' in line for line in lines)
    assert set(second.model.state_dict()) == set(averaged)
