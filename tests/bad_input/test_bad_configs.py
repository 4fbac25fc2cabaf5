"""Configs that cannot be read, and configs that cannot be trained: what is wrong, and where."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mmengine.config import Config
from tiny_configs import tiny_config
from tool_errors import refusal

from vminet_mm import engine
from vminet_mm.engine import load_config, set_data_root, train
from vminet_mm.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
BASE = "_base_ = ['base.py']\n"
# what is wrong: the files by name, of which the first is loaded, and what is said of them; {} is
# their folder
UNREADABLE = {
    'config that is missing': ({}, 'there is no config {}/a.py; those shipped are in configs/'),
    'config that is a folder': ({'a.py/b.py': ''}, '{}/a.py is a folder; give a config in it'),
    'config of another kind': (
        {'a.txt': 'x = 1'},
        '{}/a.txt is not a config: names end with .py, .json, .yaml, .yml',
    ),
    'config with a syntax error': (
        {'a.py': 'x = 1\nmodel = dict(\n'},
        "{}/a.py, line 2: SyntaxError: '(' was never closed",
    ),
    'config with an unknown name': (
        {'a.py': 'x = 1\ny = undefined\n'},
        "{}/a.py, line 2: NameError: name 'undefined' is not defined",
    ),
    'config that is no text': ({'a.py': b'\x80\x81'}, "{}/a.py: UnicodeDecodeError: 'utf-8' codec"),
    'config that is broken JSON': ({'a.json': '{"x": '}, '{}/a.json, line 1: JSONDecodeError'),
    'config that is a list': ({'a.json': '[1]'}, '{}/a.json'),
    'circular config': (
        {'a.py': "_base_ = 'a.py'"},
        '{}/a.py: its _base_ files go round in a circle: {}/a.py -> {}/a.py',
    ),
    'circle of two configs': (
        {'a.py': BASE, 'base.py': "_base_ = 'a.py'"},
        'its _base_ files go round in a circle: {}/a.py -> {}/base.py -> {}/a.py',
    ),
    'circle of imported configs': (
        {'a.py': 'from mmengine.config import read_base\nwith read_base():\n    from .a import *'},
        '{}/a.py: its _base_ files go round in a circle',
    ),
    '_base_ that is missing': (
        {'a.py': BASE},
        '{}/base.py, inherited by {}/a.py: FileNotFoundError: [Errno 2] No such file',
    ),
    '_base_ with a syntax error': (
        {'a.py': BASE, 'base.py': '\n\nx = = 1'},
        '{}/base.py, inherited by {}/a.py, line 3: SyntaxError: invalid syntax',
    ),
    '_base_ that mmdet does not have': (
        {'a.py': "_base_ = 'mmdet::nothing/x.py'"},
        '{}/a.py: FileNotFoundError: file',
    ),
    '_base_ of a package that is not installed': (
        {'a.py': "_base_ = 'mmocr::x/x.py'"},
        '{}/a.py: ModuleNotFoundError: mmocr is not installed, please install mmocr',
    ),
    'key in two _base_ files': (
        {'a.py': "_base_ = ['base.py', 'c.py']", 'base.py': 'x = 1', 'c.py': 'x = 2'},
        "Duplicate keys: {'x'}",
    ),
    'unknown variable of a _base_': (
        {'a.py': BASE + 'y = {{_base_.z}}', 'base.py': 'x = 1'},
        "{}/a.py: KeyError: 'z'",
    ),
    'number where the _base_ has a dict': (
        {'a.py': BASE + 'x = dict(y=dict(z=1))', 'base.py': 'x = dict(y=1)'},
        'cannot inherit from base because y is a dict in the child config',
    ),
    'import of a module that is missing': (
        {'a.py': "custom_imports = dict(imports=['no_such_module'])"},
        "Failed to import custom modules from {'imports': ['no_such_module']}",
    ),
    'variable of the environment that is not set': (
        {'a.py': "x = '{{$NO_SUCH_VARIABLE:}}'"},
        '`NO_SUCH_VARIABLE` cannot be found in `os.environ`',
    ),
}
OPTIONS = {
    'option of a list that is too short': ({'x.5.z': 1}, 'Index 5 exceeds the length of list [1]'),
    'option below a number': ({'y.z': 1}, 'y is a dict in the child config'),
}
CLASSIFIER, DETECTOR = 'classification', 'detection'
# what is wrong: task, options, switches of tools/train.py, and what is said
UNTRAINABLE = {
    'config without a model': (
        CLASSIFIER, dict(model=None), {}, 'has no model; inherit what it lacks from a config in'
    ),
    'config without training data': (
        CLASSIFIER, dict(train_dataloader=None), {}, 'has no train_dataloader; inherit'
    ),
    'scope that is no package': (
        CLASSIFIER,
        dict(default_scope='mmpretrian'),
        {},
        "default_scope is 'mmpretrian', and there is no such package; it must be 'mmdet'",
    ),
    'model of another package': (
        CLASSIFIER,
        {'model.type': 'EncoderDecoder'},
        {},
        "EncoderDecoder: KeyError: 'EncoderDecoder is not in the mmpretrain::model registry",
    ),
    'unknown model': (
        CLASSIFIER,
        {'model.neck.type': 'NoSuchNeck'},
        {},
        "the config cannot be built: NoSuchNeck: KeyError: 'NoSuchNeck is not in the",
    ),
    'unknown optimizer': (
        CLASSIFIER,
        {'optim_wrapper.optimizer.type': 'Adamm'},
        {},
        "optim_wrapper.optimizer.type is 'Adamm', and there is no such optimizer; take AdamW",
    ),
    'unknown transform': (
        CLASSIFIER,
        {'train_dataloader.dataset.pipeline.2.type': 'Flip'},
        {},
        "the config cannot be built: Flip: KeyError: 'Flip is not in the",
    ),
    'unknown hook': (
        CLASSIFIER, dict(custom_hooks=[dict(type='NoHook')]), {}, 'cannot be built: NoHook: '
    ),
    'head with too few classes': (
        CLASSIFIER,
        {'model.head.num_classes': 4},
        {},
        'the data have 5 classes -> --cfg-options model.head.num_classes=5',
    ),
    'top-k of too few classes (validation)': (
        CLASSIFIER,
        {'val_evaluator.topk': (1, 6)},
        {},
        'val_evaluator.topk asks for the best 6 of 5 classes -> --cfg-options '
        'val_evaluator.topk="(1,)"',
    ),
    'top-k of too few classes (test)': (
        CLASSIFIER, {'test_evaluator.topk': 6}, {}, 'test_evaluator.topk asks for the best 6 of 5'
    ),
    'backbone with other strides than the heads': (
        DETECTOR,
        {'model.backbone.stem_stride': 1},
        {},
        'rpn_head.prior_generator has the strides [4, 8, 16, 32], but the maps of backbone and '
        'neck have [2, 4, 8, 16]: set the strides of',
    ),
    'mask_padding without the sizes of images': (
        DETECTOR,
        {'model.backbone.mask_padding': True},
        {},
        "Set model.data_preprocessor to dict(type='SizedDataPreprocessor'",
    ),
    '--auto-scale-lr without a batch size': (
        CLASSIFIER,
        dict(auto_scale_lr=None),
        dict(auto_scale_lr=True),
        '--auto-scale-lr: the config has no auto_scale_lr.base_batch_size',
    ),
    '--pretrained without a backbone': (
        CLASSIFIER,
        {'model.backbone': None},
        dict(pretrained='a.pth'),
        '--pretrained: the model of the config has no backbone',
    ),
    '--launcher that did not launch': (
        CLASSIFIER, {}, dict(launcher='pytorch'), 'is not set); start with vminet_mm dist-train'
    ),
    'data root that is absent': (
        CLASSIFIER, {}, dict(data_root='absent'), 'there is no folder absent for --data-root'
    ),
}  # fmt: skip
CASES = UNREADABLE | OPTIONS | UNTRAINABLE


def written(folder: Path, contents: dict[str, str | bytes]) -> Path:
    """Write files; returns the first."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / next(iter(contents), 'a.py').partition('/')[0]


@pytest.fixture
def shallow() -> Iterator[None]:
    """Fewer calls in one another, so that it is soon known that a circle has no end."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(600)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.parametrize('bad', UNREADABLE)
def test_unreadable(bad: str, tmp_path: Path, shallow: None) -> None:
    contents, text = UNREADABLE[bad]
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, contents))
    assert text.replace('{}', str(tmp_path)) in str(caught.value)
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize('bad', OPTIONS)
def test_options_that_do_not_fit(bad: str, tmp_path: Path) -> None:
    options, text = OPTIONS[bad]
    path = written(tmp_path, {'a.py': 'x = [1]\ny = 2'})
    with pytest.raises(ConfigError) as caught:
        load_config(path, options)
    assert str(caught.value).startswith(f'--cfg-options do not fit {path}: ')
    assert text in str(caught.value)


@pytest.fixture
def saved(mini_root: Path, tmp_path: Path) -> Callable[[str, dict], Path]:
    """Function that writes the config of a tiny model, with options, on the built-in data."""

    def save(task: str, options: dict) -> Path:
        cfg = tiny_config(task)
        set_data_root(cfg, str(mini_root / {CLASSIFIER: 'imagenet', DETECTOR: 'coco'}[task]))
        cfg.merge_from_dict(options)
        cfg.dump(tmp_path / 'config.py')
        return tmp_path / 'config.py'

    return save


@pytest.mark.parametrize('bad', UNTRAINABLE)
def test_untrainable(bad: str, saved: Callable, tmp_path: Path) -> None:
    task, options, switches, text = UNTRAINABLE[bad]
    assert text in refusal(train, saved(task, options), tmp_path / 'run', **switches)


def test_data_that_are_absent(tmp_path: Path) -> None:
    config = ROOT / 'configs/mask_rcnn/mask-rcnn_vminet-xs_sfp_1x_coco.py'
    text = refusal(train, config, tmp_path, lines=10, data_root=str(tmp_path))
    assert f'train: {tmp_path}/annotations/instances_train2017.json is missing' in text
    assert '--data-root DIR' in text and 'vminet_mm make-mini-data' in text


def test_data_root_without_a_place() -> None:
    with pytest.raises(ConfigError, match='data_root'):
        set_data_root(Config(dict(train_dataloader=dict(dataset=dict(type='X')))), '.')


def test_switches_of_the_test(files: dict, saved: Callable, tmp_path: Path) -> None:
    config, (_, checkpoint) = saved(DETECTOR, {}), files[DETECTOR]
    for switches, text in (
        (dict(metrics='a.txt'), '--metrics a.txt: give a file that ends with .json'),
        (dict(out='a.txt'), '--out a.txt: give a file that ends with .pkl'),
        (dict(tta=True), '--tta needs tta_model and tta_pipeline in the config'),
        (dict(checkpoint='none.pth'), 'there is no checkpoint none.pth'),
    ):
        switches = dict(checkpoint=checkpoint) | switches
        assert text in refusal(engine.test, config, tmp_path / 'run', **switches)


def test_traceback_on_demand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('VMINET_TRACEBACK', '1')
    with pytest.raises(ConfigError, match=re.escape('there is no config')):
        refusal(train, tmp_path / 'none.py', tmp_path)
