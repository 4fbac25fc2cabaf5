"""Making models: configs, checkpoints, devices and the names of classes."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from tiny_configs import CLASSES, tiny_config

from vminet_mm.errors import ConfigError
from vminet_mm.inference import Predictor, load_model
from vminet_mm.inference.loading import choose_device, dataset_meta

Files = dict[str, tuple[str, str]]


def changed(path: str, folder: Path, **entries: Any) -> str:
    """The path of a copy of a checkpoint with other entries."""
    content = torch.load(path, weights_only=True)
    torch.save({**content, **entries}, folder / 'changed.pth')
    return str(folder / 'changed.pth')


def assert_one_line(error: BaseException) -> None:
    assert '\n' not in str(error) and len(str(error)) < 900


@pytest.mark.parametrize('task', CLASSES)
def test_models_are_ready(task: str, models: dict[str, Predictor]) -> None:
    model = models[task]
    assert model.task == task and model.classes == CLASSES[task]
    assert model.colors.shape == (len(CLASSES[task]), 3)
    assert not any(module.training for module in model.model.modules())
    if task != 'classification':  # the config has the colors
        palette = tiny_config(task).test_dataloader.dataset.metainfo.palette
        assert model.colors.tolist() == [list(color) for color in palette]


def test_every_weight_is_loaded(files: Files, models: dict[str, Predictor]) -> None:
    for task, (_, checkpoint) in files.items():
        state = torch.load(checkpoint, weights_only=True)['state_dict']
        loaded = models[task].model.state_dict()
        assert loaded.keys() == state.keys()
        assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_a_checkpoint_must_fit(files: Files, tmp_path: Path) -> None:
    config, checkpoint = files['classification']
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    cases = {
        'missing keys in source state_dict: head.fc.bias': {
            name: value for name, value in state.items() if name != 'head.fc.bias'
        },
        'unexpected key in source state_dict: other': state | {'other': torch.zeros(1)},
        r'size mismatch for head.fc.weight: .*\[7, 32\]': state
        | {'head.fc.weight': torch.zeros(7, 32)},
    }
    for message, content in cases.items():
        other = changed(checkpoint, tmp_path, state_dict=content)
        with pytest.raises(ConfigError, match=f'changed.pth does not fit .*{message}') as caught:
            load_model(config, other, device='cpu')
        assert_one_line(caught.value)
    with pytest.raises(ConfigError, match='does not fit') as caught:
        load_model(config, files['detection'][1], device='cpu')
    assert_one_line(caught.value)


def test_strides_must_be_those_of_the_training(tmp_path: Path) -> None:
    """No tensor's shape depends on them where attention has no token weights."""
    cfg = tiny_config('classification')
    cfg.model.backbone.update(stem_stride=1, strides=(1, 2, 2, 1), attention='none', mask='none')
    model, path = load_model(cfg, None, device='cpu').model, tmp_path / 'strides.pth'
    meta = dict(cfg=cfg.pretty_text)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)

    loaded = load_model(cfg, str(path), device='cpu').model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())
    for name, value, other in (('stem_stride', 1, 2), ('strides', (1, 2, 2, 1), (1, 2, 1, 2))):
        wrong = deepcopy(cfg)
        wrong.model.backbone[name] = other
        text = re.escape(f'{name} is {value} in the checkpoint and {other} in the model')
        with pytest.raises(ConfigError, match=text):
            load_model(wrong, str(path), device='cpu')
    del cfg.model.backbone['strides']
    meta['cfg'] = cfg.pretty_text  # a config that tells none has 2 each
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    with pytest.raises(ConfigError, match=r'strides is \(2, 2, 2, 2\) in the checkpoint'):
        load_model(wrong, str(path), device='cpu')


def test_bad_configs(files: Files) -> None:
    cfg, checkpoint = tiny_config('classification'), files['classification'][1]
    for change, message in (
        (dict(default_scope='mmocr'), "default_scope 'mmocr'; it must be one of 'mmdet'"),
        (dict(default_scope=None), 'default_scope None'),
        (dict(model=None), 'no model or no test_dataloader'),
        (dict(test_dataloader=None), 'no model or no test_dataloader'),
        ({'model.backbone.arch': 'xl'}, "cannot be built: .*unknown arch 'xl'"),
        ({'model.neck.type': 'NoSuchNeck'}, 'cannot be built: .*NoSuchNeck'),
    ):
        with pytest.raises(ConfigError, match=message) as caught:
            load_model(cfg, checkpoint, device='cpu', cfg_options=change)
        assert_one_line(caught.value)
    assert cfg.default_scope == 'mmpretrain'  # the given one is left as it is
    with pytest.raises(ConfigError, match=r'there is no config none\.py'):
        load_model('none.py', checkpoint)


@pytest.mark.parametrize('task', CLASSES)
def test_random_weights_are_the_same_in_every_call(task: str) -> None:
    cfg = tiny_config(task)
    first = load_model(cfg, None, device='cpu')
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    again = load_model(cfg, None, device='cpu')
    assert torch.equal(torch.rand(2), expected)  # of the caller's generator nothing is used up
    for name, value in again.model.state_dict().items():
        assert torch.equal(value, first.model.state_dict()[name]), name
    assert first.task == task and len(first.classes) == len(CLASSES[task])


def test_only_a_vminet_can_be_folded(tmp_path: Path) -> None:
    cfg = tiny_config('classification')
    cfg.model.backbone = dict(type='ResNet', depth=18)
    cfg.model.head.in_channels = 512
    with pytest.raises(ConfigError, match='does not fit'):
        load_model(cfg, _empty(tmp_path), deploy=True, device='cpu')
    from mmengine.registry import MODELS, DefaultScope

    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(deepcopy(cfg.model))
    torch.save(model.state_dict(), tmp_path / 'resnet.pth')
    with pytest.raises(ConfigError, match='has no VMINet that could be folded'):
        load_model(cfg, tmp_path / 'resnet.pth', deploy=True, device='cpu')
    assert load_model(cfg, tmp_path / 'resnet.pth', device='cpu').task == 'classification'


def _empty(folder: Path) -> Path:
    torch.save({}, folder / 'empty.pth')
    return folder / 'empty.pth'


def test_devices() -> None:
    here = 'cuda' if torch.cuda.is_available() else 'cpu'
    assert choose_device('auto').type == here
    assert choose_device('cpu') == torch.device('cpu')
    for name in ('cuda:99', 'nonsense', 'meta', 'cpu:x'):
        with pytest.raises(ConfigError, match=f'{name} here; there are: cpu'):
            choose_device(name)


def test_names_of_the_classes(log: list[str]) -> None:
    """The checkpoint, then the config, then the data set: whichever has as many as there are."""
    checkpoint = dict(dataset_meta=dict(CLASSES=['a', 'b']), CLASSES=('x', 'y', 'z'))
    dataset = dict(
        type='CocoDataset', metainfo=dict(classes=('p', 'q', 'r'), palette=[(1, 2, 3)] * 3)
    )
    cfg = Config(dict(test_dataloader=dict(dataset=dict(type='RepeatDataset', dataset=dataset))))
    assert dataset_meta(cfg, 'mmdet', checkpoint, 2) == (('a', 'b'), None)
    assert dataset_meta(cfg, 'mmdet', checkpoint, 3) == (('x', 'y', 'z'), [(1, 2, 3)] * 3)
    assert dataset_meta(cfg, 'mmdet', {}, 3)[0] == ('p', 'q', 'r')
    names, palette = dataset_meta(cfg, 'mmdet', {}, 80)
    assert names[0] == 'person' and palette[0] == (220, 20, 60)
    assert not any('numbered' in line for line in log)
    assert dataset_meta(cfg, 'mmdet', checkpoint, 4)[0] == (
        'class 0',
        'class 1',
        'class 2',
        'class 3',
    )
    assert 'neither checkpoint nor config has the names of the 4 classes; they are numbered' in log
    assert dataset_meta(cfg, 'mmdet', checkpoint, 0)[0] == ('a', 'b')


def test_names_without_meta(files: Files, tmp_path: Path) -> None:
    config, checkpoint = files['segmentation']
    bare = changed(checkpoint, tmp_path, meta={})
    assert load_model(config, bare, device='cpu').classes == CLASSES['segmentation']
    config, checkpoint = files['classification']
    bare = changed(checkpoint, tmp_path, meta={})
    assert load_model(config, bare, device='cpu').classes[0] == 'class 0'
