"""A folder in which documented commands run as they are written, in seconds.

It has the shipped configs under their names, with models of a few channels on small images, a
small data set in each location that a config or a document names, checkpoints, and what a reader is
to fill in for CONFIG, CHECKPOINT, DIR and the like.
"""

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import torch
from checkpoint_files import published
from in_process import run_here
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from PIL import Image
from tiny_configs import ARCH, CHANNELS, ROI, SETTINGS, random_model

from vminet_mm.engine import load_config

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = 'configs/mask_rcnn/mask-rcnn_vminet-ti_fpn_mini.py'
WORK_DIR = 'work_dirs/mask-rcnn_vminet-ti_fpn_mini'
CLASSIFIER = 'configs/cls/vminet-ti_mini.py'  # the quickest to export
TASKS = dict(mask_rcnn='detection', upernet='segmentation', cls='classification')
DATA = dict(mask_rcnn='coco', upernet='ade/ADEChallengeData2016', cls='imagenet')
# transforms that set the size of an image, and what they are given
SIZES = dict(
    Resize=dict(scale=(160, 128)),
    RandomResize=dict(scale=(160, 128)),
    RandomCrop=dict(crop_size=(64, 64)),
    RandomResizedCrop=dict(scale=64),
    ResizeEdge=dict(scale=72),
    CenterCrop=dict(crop_size=64),
)
SHORT = {
    'EpochBasedTrainLoop': dict(max_epochs=1, val_interval=1),
    'IterBasedTrainLoop': dict(max_iters=2, val_interval=2),
}


def shrink(config: str) -> Config:
    """A shipped config with a model of few channels, small images and a short training."""
    folder = Path(config).parent.name
    options = dict(SETTINGS[TASKS[folder]][1])
    if '_sfp_' in config:
        options['model.neck'] = dict(in_channels=CHANNELS[-1], out_channels=8)
    cfg = load_config(ROOT / config, options)
    vim = dict(embed_dims=CHANNELS[-1], num_layers=1)
    cfg.model.backbone.arch = vim if cfg.model.backbone.type == 'Vim' else ARCH
    if cfg.model.backbone.get('norm_cfg', {}).get('type') == 'GN':
        cfg.model.backbone.norm_cfg.num_groups = 4  # one for each channel of the first maps
    if folder == 'mask_rcnn':
        cfg.model.test_cfg.rpn.max_per_img = cfg.model.train_cfg.rpn_proposal.max_per_img = 20
        cfg.merge_from_dict({f'{ROI}.mask_head.num_convs': 1})
    if folder == 'upernet':
        cfg.model.data_preprocessor.size = (64, 64)
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False, batch_size=8)
        for step in loader.dataset.pipeline:
            step.update(SIZES.get(step.type, {}))
            if step.type == 'RandomCrop' and folder == 'cls':
                step.crop_size = 64
    cfg.train_cfg.update(SHORT[cfg.train_cfg.get('type', 'EpochBasedTrainLoop')])
    if folder == 'upernet':
        cfg.default_hooks.checkpoint.interval = 2
    return cfg


class Workshop:
    """The folder.

    Args:
        root: Where it is made; a tool is to run with it as its current folder.
        mini: The built-in data, small.
        configs: The shipped configs that documents name.
    """

    def __init__(self, root: Path, mini: Path, configs: set[str]) -> None:
        self.root = root
        self.done: list[list[str]] = []  # commands that were run
        (root / 'data/ade').mkdir(parents=True)
        shutil.copytree(mini, root / 'data/mini')  # a command makes it anew
        make_imagenet(mini / 'imagenet', root / 'data/imagenet')
        make_coco(mini / 'coco', root / 'data/coco')
        make_segmentation(root / 'data/ade/ADEChallengeData2016')
        for name in sorted(configs | {DEFAULT, CLASSIFIER}):
            self.write(name)
        torch.save(published('second'), root / 'PUBLISHED.pth')
        shutil.copy(next((mini / 'coco/val2017').glob('*.jpg')), root / 'dog.jpg')
        shutil.copytree(mini / 'coco/val2017', root / 'photos')
        make_video(root / 'photos', root / 'street.mp4')

    def write(self, config: str) -> None:
        """Write the small form of a config, and a checkpoint of it."""
        cfg, path = shrink(config), self.root / config
        path.parent.mkdir(parents=True, exist_ok=True)
        cfg.dump(path)
        torch.save(dict(state_dict=random_model(cfg).state_dict()), path.with_suffix('.pth'))


def fill(words: list[str]) -> list[str]:
    """The words of a command, with a value for each placeholder; the others as they are."""
    default = CLASSIFIER if any('deployment' in word for word in words) else DEFAULT
    config = next((word for word in words if word.startswith('configs/')), default)
    folder = Path(config).parent.name
    data = f'data/{DATA.get(folder)}'
    if config.endswith('_mini.py'):
        data = f'data/mini/{DATA[folder].split("/")[0]}'
    values = {
        'CONFIG': config,
        'CONFIG2': config,
        'CHECKPOINT': config.replace('.py', '.pth'),
        'CHECKPOINT2': config.replace('.py', '.pth'),
        'CHECKPOINT.pth': config.replace('.py', '.pth'),
        '[CHECKPOINT]': config.replace('.py', '.pth'),
        'CHECKPOINT.onnx': config.replace('.py', '.onnx'),
        'DIR': data,
        'COCO_FOLDER': data,
        'ADE20K_FOLDER': data,
        'IMAGENET_FOLDER': data,
        'IMAGE': 'dog.jpg',
        'IMAGE...': 'dog.jpg',
        'FILE': f'{WORK_DIR}/epoch_1.pth',
        'WORK_DIR': WORK_DIR,
        'WORK_DIR...': WORK_DIR,
        'model.onnx': CLASSIFIER.replace('.py', '.onnx'),
        'FILE.onnx': CLASSIFIER.replace('.py', '.onnx'),
        'mIoU': 'grad_norm',  # of a detector
        'H': '64',
        'W': '96',
        'backbone.stages.2.18': 'backbone.stages.2.1',
        'backbone.stages.3.2': 'backbone.stages.3.1',
    }
    return [values.get(word, word) for word in words]


def shorten(tool: str, arguments: list[str]) -> list[str]:
    """The arguments of a command with others behind them, and smaller ones, that make it short."""
    quick = ['--rounds', '1', '--seconds', '0', '--device', 'cpu', '--threads', '1']
    if tool == 'tools/analysis_tools/benchmark.py':
        text = re.sub(r'(vminet|reference)-\w+', r'\1-ti', ' '.join(arguments))
        text = re.sub(r'--sizes( \d+)+', '--sizes 64 96', text)
        size = [] if '--sizes' in text else ['--size', '64', '--batch', '1']
        models, dashes, switches = text.partition('--')
        return [*dict.fromkeys(models.split()), *f'{dashes}{switches}'.split(), *size, *quick]
    more = {
        'tools/analysis_tools/benchmark_downstream.py': ['--size', '64', '96', *quick],
        'tools/analysis_tools/get_flops.py': ['--shape', '64', '96'],
        'tools/analysis_tools/traffic.py': ['--batch', '2', '--size', '64', '64'],
        'tools/check_data.py': ['--samples', '2'],
        'tools/dataset_converters/make_mini_data.py': ['--train', '4', '--val', '2'],
        'tools/deployment/export_onnx.py': ['--shape', '64', '96'],
        'tools/report.py': ['--num-images', '2'],
    }
    return [*arguments, *more.get(tool, [])]


def run(words: list[str]) -> None:
    """Run a script of ours in this process, as a command would."""
    code = run_here(str(ROOT / words[0]), *words[1:])
    assert code == 0, code


def make_video(images: Path, path: Path) -> None:
    """A video of images of 128 x 160 pixels."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*'mp4v'), 5, (160, 128))
    for image in sorted(images.glob('*.jpg')):
        writer.write(cv2.imread(str(image)))
    writer.release()


def make_coco(mini: Path, root: Path) -> None:
    """The built-in scenes as if they were of COCO: with its 80 classes, of which few occur."""
    names = CocoDataset.METAINFO['classes']
    shutil.copytree(mini, root)
    for path in (root / 'annotations').glob('*.json'):
        content = json.loads(path.read_text())
        content['categories'] = [dict(id=k, name=name) for k, name in enumerate(names, 1)]
        path.write_text(json.dumps(content))


def make_imagenet(mini: Path, root: Path) -> None:
    """The built-in crops, in 5 of 1000 folders."""
    for split in ('train', 'val'):
        shutil.copytree(mini / split, root / split)
        for k in range(1000 - len(list((mini / split).iterdir()))):
            (root / split / f'n{k:08d}').mkdir()


def make_segmentation(root: Path, num_classes: int = 11) -> None:
    """Random images in the layout of ADE20K, with patches of as many classes, and label 0."""
    random = np.random.default_rng(0)
    for split, number in (('training', 8), ('validation', 2)):
        for name in ('images', 'annotations'):
            (root / name / split).mkdir(parents=True)
        for k in range(number):
            labels = np.kron(random.integers(0, num_classes + 1, (4, 6)), np.ones((20, 20)))
            pixels = labels[..., None] * 20 + random.integers(0, 20, 3)
            Image.fromarray(pixels.astype(np.uint8)).save(root / f'images/{split}/{k}.jpg')
            Image.fromarray(labels.astype(np.uint8)).save(root / f'annotations/{split}/{k}.png')
