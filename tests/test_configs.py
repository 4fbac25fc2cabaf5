"""Every shipped config builds, its name says what is in it, and it holds the recipe of its task."""

import math
import re
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from shipped_configs import CONFIG_DIR, EPOCH, build, learning_rates, load
from torch import nn

from vminet_mm.datasets import CLASSES, PALETTE, SEG_CLASSES, SEG_PALETTE
from vminet_mm.engine import load_config

TASKS = {'mask_rcnn': 'mmdet', 'upernet': 'mmseg', 'cls': 'mmpretrain'}  # of the paper
# other people's models: folder, and the task of the paper whose recipe they take
OTHERS = {'cascade_rcnn': 'mask_rcnn', 'retinanet': 'mask_rcnn', 'segformer': 'upernet'}
FILES = sorted(path for folder in (*TASKS, *OTHERS) for path in (CONFIG_DIR / folder).glob('*.py'))
ALL = [path for path in FILES if 'vminet' in path.stem]  # the others are tested as their peers
SMALL = ('_mini', '_nuclei', '_camvid', '_cifar10')  # data of these configs
FULL = [path for path in ALL if not path.stem.endswith(SMALL)]
# recipes of other people, which tests/test_second_readings.py has
SECOND_READINGS = ('310e-authors', '4xb8-60k')
RECIPE = [path for path in FULL if not any(part in path.stem for part in SECOND_READINGS)]
XS = {
    'mask_rcnn': CONFIG_DIR / 'mask_rcnn/mask-rcnn_vminet-xs_sfp_1x_coco.py',
    'upernet': CONFIG_DIR / 'upernet/upernet_vminet-xs_8xb2-160k_ade20k-512x512.py',
    'cls': CONFIG_DIR / 'cls/vminet-xs_3xb128-300e_in1k.py',
    'cascade_rcnn': CONFIG_DIR / 'cascade_rcnn/cascade-mask-rcnn_vminet-xs_fpn_1x_coco.py',
    'retinanet': CONFIG_DIR / 'retinanet/retinanet_vminet-xs_fpn_1x_coco.py',
    'segformer': CONFIG_DIR / 'segformer/segformer_vminet-xs_8xb2-160k_ade20k-512x512.py',
}
SEG_NAME = (
    r'_vminet-(?P<arch>ti|xs|s|b)_(?P<gpus>\d+)xb(?P<batch>\d+)'
    r'-(?P<iters>\d+)k_ade20k-(?P<height>\d+)x(?P<width>\d+)'
)
DET_NAME = r'_vminet-(?P<arch>ti|xs|s|b)_(?P<neck>sfp|fpn)_1x(?P<other>-m9-11)?_coco'
# fields are joined by underscores, words within a field by hyphens
NAMES = {
    'mask_rcnn': 'mask-rcnn' + DET_NAME,
    'cascade_rcnn': 'cascade-mask-rcnn' + DET_NAME,
    'retinanet': 'retinanet' + DET_NAME,
    'upernet': 'upernet' + SEG_NAME,
    'segformer': 'segformer' + SEG_NAME,
    'cls': r'vminet-(?P<arch>ti|xs|s|b)(?P<v1>-v1)?(?P<r>-r)?'
    r'(_mask-(?P<mask>[a-z]+)(?P<quarter>-quarter)?|_attn-(?P<attention>none))?'
    r'_(?P<gpus>\d+)xb(?P<batch>\d+)-(?P<epochs>\d+)e(?P<other>-authors)?_in1k',
}
name_of = pytest.mark.parametrize('path', ALL, ids=lambda path: path.stem)
full_recipe = pytest.mark.parametrize('path', FULL, ids=lambda path: path.stem)


def task_of(path: Path) -> str:
    """The task of the paper whose recipe a config takes."""
    return OTHERS.get(path.parent.name, path.parent.name)


def of_task(task: str) -> pytest.MarkDecorator:
    paths = [path for path in RECIPE if task_of(path) == task]
    return pytest.mark.parametrize('path', paths, ids=lambda path: path.stem)


def fields(path: Path) -> dict[str, str | None]:
    match = re.fullmatch(NAMES[path.parent.name], path.stem)
    assert match, f'{path.stem} does not follow {NAMES[path.parent.name]}'
    return match.groupdict()


def test_there_are_configs_of_every_task_and_a_mini_one_each() -> None:
    assert {path.parent.name for path in FULL} == {*TASKS, *OTHERS}
    assert {path.parent.name for path in ALL if path not in FULL} == set(TASKS)
    assert set(XS.values()) <= set(FULL)
    # tests/test_peer_configs.py has the peers
    assert {path.name for path in CONFIG_DIR.iterdir()} == {'_base_', 'peers', *TASKS, *OTHERS}


@cache
def parameters_said(folder: Path) -> dict[str, int]:
    """By the metafile of a folder, of each config."""
    models = yaml.safe_load((folder / 'metafile.yml').read_text())['Models']
    return {model['Name']: model['Metadata'].get('Parameters') for model in models}


@name_of
def test_builds_with_norms_of_one_process(path: Path) -> None:
    cfg = load(path)
    assert cfg.default_scope == TASKS[task_of(path)]
    model = build(cfg)
    # synchronized ones need a process group; the Runner puts them in where there is one
    assert not any(isinstance(module, nn.SyncBatchNorm) for module in model.modules())
    norm = cfg.model.backbone.get('norm_cfg', dict(type='BN'))['type']
    kind = dict(BN=nn.BatchNorm2d, GN=nn.GroupNorm)[norm]
    assert sum(isinstance(module, kind) for module in model.modules()) > 24
    drop_paths = [m.drop_prob for m in model.modules() if type(m).__name__ == 'DropPath']
    assert drop_paths[0] == 0
    assert drop_paths[-1] == pytest.approx(cfg.model.backbone.get('drop_path_rate', 0.0))
    if path in FULL:
        assert parameters_said(path.parent)[path.stem] == sum(p.numel() for p in model.parameters())


@name_of
def test_name_follows_openmmlab(path: Path) -> None:
    assert re.fullmatch(r'[a-z0-9]+([-_][a-z0-9]+)*', path.stem)
    assert '_vminet-' in path.stem or path.stem.startswith('vminet-')


@full_recipe
def test_name_says_what_the_config_does(path: Path) -> None:
    said, cfg = fields(path), load(path)
    backbone = cfg.model.backbone
    assert backbone.arch == said['arch']
    if said.get('gpus'):
        assert cfg.train_dataloader.batch_size == int(said['batch'])
        assert cfg.auto_scale_lr.base_batch_size == int(said['gpus']) * int(said['batch'])
    if task_of(path) == 'mask_rcnn':
        assert cfg.model.neck.type == dict(sfp='SimpleFeaturePyramid', fpn='FPN')[said['neck']]
        assert cfg.train_cfg.max_epochs == 12
    elif task_of(path) == 'upernet':
        assert cfg.train_cfg.max_iters == 1000 * int(said['iters'])
        crop = next(t for t in cfg.train_dataloader.dataset.pipeline if t.type == 'RandomCrop')
        size = (int(said['height']), int(said['width']))
        assert tuple(crop.crop_size) == tuple(cfg.model.data_preprocessor.size) == size
    else:
        assert cfg.train_cfg.max_epochs == int(said['epochs'])
        assert backbone.get('proj_bn', False) is bool(said['v1'])
        assert backbone.get('form', 'matrix') == ('recurrent' if said['r'] else 'matrix')
        default_mask = 'none' if said['v1'] else 'tril'
        assert backbone.get('mask', 'tril') == (said['mask'] or default_mask)
        assert backbone.get('band_halfwidth', 0.5) == (0.25 if said['quarter'] else 0.5)
        assert backbone.get('attention', 'vmi_sa') == (said['attention'] or 'vmi_sa')


@pytest.mark.parametrize('path', RECIPE, ids=lambda path: path.stem)
def test_optimizer_and_batch(path: Path) -> None:
    cfg = load(path)
    optimizer = cfg.optim_wrapper.optimizer
    rate, decay, batch, base_batch = {
        'mask_rcnn': (1e-4, 0.05, 2, 16),
        'upernet': (6e-5, 0.01, 2, 16),
        'cls': (5e-4, 0.025, 128, 384),
    }[task_of(path)]
    assert (optimizer.type, tuple(optimizer.betas)) == ('AdamW', (0.9, 0.999))
    assert (optimizer.lr, optimizer.weight_decay) == (rate, decay)
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.auto_scale_lr.base_batch_size == base_batch
    assert cfg.auto_scale_lr.enable is False
    # what the tests of schedule and decay below find for XS holds for every size
    xs = load(XS[task_of(path)])
    assert (cfg.param_scheduler == xs.param_scheduler) is not bool(fields(path).get('other'))
    assert cfg.optim_wrapper == xs.optim_wrapper


def test_schedule_of_detection() -> None:
    rates = learning_rates(load(XS['mask_rcnn']))
    assert rates[0] == pytest.approx(1e-7)
    assert rates[500] == pytest.approx(5e-5, rel=0.01)
    assert rates[1000] == pytest.approx(1e-4)
    by_epoch = [rates[(epoch + 1) * EPOCH - 1] for epoch in range(12)]
    assert by_epoch == pytest.approx([1e-4] * 8 + [1e-5] * 3 + [1e-6])


def test_schedule_of_segmentation() -> None:
    rates = learning_rates(load(XS['upernet']))
    assert len(rates) == 160000
    assert rates[0] == pytest.approx(6e-11)
    assert rates[750] == pytest.approx(3e-5, rel=0.01)
    assert rates[1500] == max(rates) == pytest.approx(6e-5)
    assert rates[80750] == pytest.approx(3e-5, rel=1e-4)  # half-way from 1500 to 160000
    assert rates[-1] == pytest.approx(0, abs=1e-9)


def test_schedule_of_classification() -> None:
    rates = learning_rates(load(XS['cls']))
    assert len(rates) == 300 * EPOCH
    assert rates[0] == pytest.approx(1e-6)
    assert rates[int(2.5 * EPOCH)] == pytest.approx(2.5e-4, rel=0.01)
    assert rates[5 * EPOCH] == max(rates) == pytest.approx(5e-4)
    for epoch in (5, 100, 299):
        cosine = 0.5 * (1 + math.cos(math.pi * (epoch - 5) / 295))
        assert rates[epoch * EPOCH] == pytest.approx(1e-5 + cosine * (5e-4 - 1e-5))
    assert 1e-5 <= min(rates[5 * EPOCH :]) < 1.01e-5


@pytest.mark.parametrize('task', [*TASKS, 'recurrent'])
def test_what_is_decayed(task: str) -> None:
    is_recurrent, task = task == 'recurrent', 'cls' if task == 'recurrent' else task
    cfg = load(CONFIG_DIR / 'cls/vminet-xs-r_3xb128-300e_in1k.py' if is_recurrent else XS[task])
    model = build(cfg)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    decays = {id(p): group['weight_decay'] for group in groups for p in group['params']}
    assert {group['lr'] for group in groups} == {cfg.optim_wrapper.optimizer.lr}
    norms = (nn.BatchNorm2d, nn.LayerNorm)
    kinds: dict[str, set[float]] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            own = name in ('alpha', 'scale', 'beta')
            kind = 'norm' if isinstance(module, norms) else name if own else name.split('_')[0]
            kinds.setdefault(kind, set()).add(decays[id(parameter)])
    decay = cfg.optim_wrapper.optimizer.weight_decay
    assert kinds == {
        'norm': {0.0},
        **({} if is_recurrent else {'scale': {0.0}}),
        'beta': {0.0},
        'alpha': {decay},
        'weight': {decay},
        'bias': {0.0 if task == 'cls' else decay},
    }


def transforms(cfg: Config, split: str) -> dict[str, dict]:
    return {t.type: t for t in cfg[f'{split}_dataloader'].dataset.pipeline}


@of_task('mask_rcnn')
def test_detection_recipe(path: Path) -> None:
    cfg = load(path)
    assert cfg.model.backbone.drop_path_rate == 0.2
    assert cfg.model.backbone.norm_eval == 'auto'
    heads = cfg.model.get('roi_head', cfg.model).bbox_head
    assert all(head.num_classes == 80 for head in (heads if isinstance(heads, list) else [heads]))
    if path.parent.name != 'retinanet':
        assert cfg.model.test_cfg.rpn.max_per_img == 1000
    train = transforms(cfg, 'train')
    assert (tuple(train['Resize'].scale), train['Resize'].keep_ratio) == ((1333, 800), True)
    assert train['RandomFlip'].prob == 0.5
    assert tuple(transforms(cfg, 'test')['Resize'].scale) == (1333, 800)


@of_task('upernet')
def test_segmentation_recipe(path: Path) -> None:
    cfg = load(path)
    decode = cfg.model.decode_head
    head, drop_path = {
        'upernet': (('UPerHead', 512, 150), 0.3),
        'segformer': (('SegformerHead', 256, 150), 0.1),
    }[path.parent.name]
    assert (decode.type, decode.channels, decode.num_classes) == head
    assert cfg.model.backbone.drop_path_rate == drop_path
    if path.parent.name == 'upernet':
        auxiliary = cfg.model.auxiliary_head
        assert (auxiliary.type, auxiliary.channels, auxiliary.num_classes) == ('FCNHead', 256, 150)
        assert auxiliary.loss_decode.loss_weight == 0.4
    assert cfg.sync_bn == 'torch'
    train = transforms(cfg, 'train')
    assert tuple(train['RandomResize'].ratio_range) == (0.5, 2.0)
    assert train['RandomFlip'].prob == 0.5
    assert 'PhotoMetricDistortion' in train


@of_task('cls')
def test_classification_recipe(path: Path) -> None:
    cfg = load(path)
    train, test = transforms(cfg, 'train'), transforms(cfg, 'test')
    assert train['RandomResizedCrop'].scale == 224
    augment = train['RandAugment']
    assert (augment.policies, augment.num_policies) == ('timm_increasing', 2)
    assert (augment.magnitude_level, augment.total_level, augment.magnitude_std) == (1, 10, 0.5)
    assert train['RandomErasing'].erase_prob == 0.25
    assert 'ColorJitter' not in train
    augments = {augment.type: augment.alpha for augment in cfg.model.train_cfg.augments}
    assert augments == dict(Mixup=0.8, CutMix=0.2)
    assert cfg.model.head.loss.label_smooth_val == 0.1
    resize = test['ResizeEdge']
    assert (resize.scale, resize.edge, resize.interpolation) == (256, 'short', 'bicubic')
    assert test['CenterCrop'].crop_size == 224


def tiny_batch(task: str) -> dict:
    """Two images of 64 x 96 with random labels, as a data loader gives them."""
    inputs = [torch.randint(256, (3, 64, 96), dtype=torch.uint8) for _ in range(2)]
    if task == 'mask_rcnn':
        from mmdet.testing import demo_mm_inputs

        return demo_mm_inputs(
            2, [[3, 64, 96]] * 2, num_items=[3, 1], num_classes=80, with_mask=True
        )
    if task == 'cls':
        from mmpretrain.structures import DataSample

        return dict(inputs=inputs, data_samples=[DataSample().set_gt_label(n) for n in (3, 999)])
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    samples = []
    for _ in inputs:
        sample = SegDataSample(metainfo=dict(img_shape=(64, 96), ori_shape=(64, 96)))
        sample.gt_sem_seg = PixelData(data=torch.randint(150, (1, 64, 96)))
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


@pytest.mark.parametrize('folder', XS)
def test_xs_learns_from_and_predicts_a_tiny_batch(folder: str) -> None:
    cfg, task = load(XS[folder]), OTHERS.get(folder, folder)
    if task == 'upernet':
        cfg.model.data_preprocessor.size = (64, 96)  # it would be padded to 512 x 512
    model, batch = build(cfg), tiny_batch(task)
    model.init_weights()
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        data = model.data_preprocessor(batch, training=True)
        loss, terms = model.parse_losses(model(**data, mode='loss'))
        assert all(torch.isfinite(term).all() for term in terms.values())
        if task == 'cls':
            assert math.log(1000) == pytest.approx(loss.item(), rel=0.3)
            assert len(model.data_preprocessor.batch_augments.augments) == 2
        loss.backward()
        blocks = [m for m in model.modules() if type(m).__name__ == 'VMISABlock']
        assert len(blocks) == 24
        assert all(block.attn.query.weight.grad.abs().sum() > 0 for block in blocks)
        with torch.no_grad():
            predictions = model.eval().test_step(tiny_batch(task))
    assert len(predictions) == 2
    for prediction in predictions:
        if task == 'mask_rcnn':
            found = prediction.pred_instances
            assert ('masks' in found) == (folder != 'retinanet')
            assert found.get('masks', torch.zeros(len(found), 64, 96)).shape[1:] == (64, 96)
            assert len(found.bboxes) == len(found.scores) <= 100
        elif task == 'upernet':
            assert prediction.pred_sem_seg.data.shape == (1, 64, 96)
        else:
            assert prediction.pred_score.sum().item() == pytest.approx(1, abs=1e-4)


def test_mini_classes_and_colors_are_the_generators() -> None:
    detection = load_config(CONFIG_DIR / 'mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py')
    segmentation = load_config(CONFIG_DIR / 'upernet/upernet_vminet-ti_mini.py')
    for cfg, classes, palette in (
        (detection, CLASSES, PALETTE),
        (segmentation, SEG_CLASSES, SEG_PALETTE),
    ):
        for split in ('train', 'val', 'test'):
            metainfo = cfg[f'{split}_dataloader'].dataset.metainfo
            assert tuple(metainfo.classes) == classes
            assert [tuple(color) for color in metainfo.palette] == list(palette)
