"""Tiny data sets of several readers and numbers of channels, with a tiny model for each."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from tiny_configs import ARCH, random_model

CLASSES = ('box', 'disc')
SIZE = (40, 56)  # height and width
NUMBER = dict(train=4, val=3)
FLAGS = {1: 'grayscale', 3: 'color', 4: 'unchanged'}
# of 4 channels one for all: MMEngine's preprocessor takes 1 or 3
MEANS = {1: [127.0], 3: [123.7, 116.3, 103.5], 4: [110.0]}


@dataclass(frozen=True)
class ReaderSet:
    """A data set of one reader and number of channels, and a model for it.

    Attributes:
        reader: Its name among :data:`READERS`.
        channels: 1, 3 or 4.
        root: The folder.
        config: The config file.
        checkpoint: Weights of the model.
        images: The validation images.
    """

    reader: str
    channels: int
    root: Path
    config: Path
    checkpoint: Path
    images: list[Path]


def boxes_of(index: int) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Label and left, top, right, bottom of the objects of an image."""
    first = (2 + index, 3, 16 + index, 21)
    return [(0, first), (1, (30, 12, 50, 34))][: 1 + index % 2]


def write_images(folder: Path, channels: int) -> None:
    """PNG files under names of JPEG files, which mmdet's XML reader wants."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(channels)
    for split, number in NUMBER.items():
        for index in range(number):
            image = rng.integers(0, 90, (*SIZE, channels), dtype=np.uint8)
            for label, (left, top, right, bottom) in boxes_of(index):
                image[top:bottom, left:right] += np.uint8(90 + 60 * label)
            content = cv2.imencode('.png', image)[1].tobytes()
            (folder / f'{split}{index}.jpg').write_bytes(content)


def _write_coco(root: Path, split: str) -> None:
    images, objects = [], []
    for index in range(NUMBER[split]):
        name = f'{split}{index}.jpg'
        images.append(dict(id=index, file_name=name, height=SIZE[0], width=SIZE[1]))
        for label, (left, top, right, bottom) in boxes_of(index):
            box = [left, top, right - left, bottom - top]
            entry = dict(id=len(objects) + 1, image_id=index, category_id=label + 1, bbox=box)
            objects.append(entry | dict(area=box[2] * box[3], iscrowd=0))
    categories = [dict(id=k, name=name) for k, name in enumerate(CLASSES, 1)]
    content = dict(images=images, annotations=objects, categories=categories)
    (root / f'{split}.json').write_text(json.dumps(content))


def _write_xml(root: Path, split: str) -> None:
    (root / 'Annotations').mkdir(exist_ok=True)
    for index in range(NUMBER[split]):
        objects = ''
        for label, corners in boxes_of(index):
            edges = zip(('xmin', 'ymin', 'xmax', 'ymax'), corners, strict=True)
            box = ''.join(f'<{edge}>{value + 1}</{edge}>' for edge, value in edges)
            objects += f'<object><name>{CLASSES[label]}</name><bndbox>{box}</bndbox></object>'
        size = f'<size><width>{SIZE[1]}</width><height>{SIZE[0]}</height></size>'
        text = f'<annotation>{size}{objects}</annotation>'
        (root / f'Annotations/{split}{index}.xml').write_text(text)
    names = [f'{split}{index}' for index in range(NUMBER[split])]
    (root / f'{split}.txt').write_text('\n'.join(names))


def _write_multi_label(root: Path, split: str) -> None:
    entries = [
        dict(img_path=f'{split}{index}.jpg', gt_label=[label for label, _ in boxes_of(index)])
        for index in range(NUMBER[split])
    ]
    content = dict(metainfo=dict(classes=CLASSES), data_list=entries)
    (root / f'{split}.json').write_text(json.dumps(content))


def _write_list(root: Path, split: str) -> None:
    lines = [f'{split}{index}.jpg {len(boxes_of(index)) - 1}' for index in range(NUMBER[split])]
    (root / f'{split}.txt').write_text('\n'.join(lines))


def _write_label_maps(root: Path, split: str) -> None:
    (root / 'labels').mkdir(exist_ok=True)
    for index in range(NUMBER[split]):
        labels = np.zeros(SIZE, np.uint8)
        for label, (left, top, right, bottom) in boxes_of(index):
            labels[top:bottom, left:right] = label
        labels[0, :5] = 1  # both classes in every map
        cv2.imwrite(str(root / f'labels/{split}{index}.png'), labels)
    names = [f'{split}{index}' for index in range(NUMBER[split])]
    (root / f'{split}.txt').write_text('\n'.join(names))


def _backbone(channels: int, **options: Any) -> dict:
    return dict(type='VMINet', arch=ARCH, img_size=64, in_channels=channels, **options)


def _preprocessor(kind: str, channels: int, **options: Any) -> dict:
    key = 'to_rgb' if kind == 'ClsDataPreprocessor' else 'bgr_to_rgb'
    swap = {key: True} if channels == 3 else {}
    scales = dict(mean=MEANS[channels], std=[58.0] * len(MEANS[channels]))
    return dict(type=kind, **scales, **swap, **options)


def _detector(channels: int) -> dict:
    from mmengine.hub import get_config

    model = get_config('mmdet::_base_/models/retinanet_r50_fpn.py').model
    model.data_preprocessor = _preprocessor('DetDataPreprocessor', channels, pad_size_divisor=32)
    model.backbone = _backbone(channels, out_indices=(0, 1, 2, 3))
    model.neck.update(in_channels=[4, 8, 16, 32], out_channels=8)
    model.bbox_head.update(num_classes=2, in_channels=8, feat_channels=8, stacked_convs=1)
    model.test_cfg.update(nms_pre=30, max_per_img=10)
    return model.to_dict()


def _classifier(channels: int, head: dict) -> dict:
    return dict(
        type='ImageClassifier',
        backbone=_backbone(channels),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(num_classes=2, in_channels=32, **head),
        data_preprocessor=_preprocessor('ClsDataPreprocessor', channels, num_classes=2),
    )


def _segmentor(channels: int) -> dict:
    head = dict(type='FCNHead', in_channels=32, channels=8, num_convs=1, num_classes=2)
    return dict(
        type='EncoderDecoder',
        data_preprocessor=_preprocessor('SegDataPreProcessor', channels, size_divisor=32),
        backbone=_backbone(channels, out_indices=(3,)),
        decode_head=dict(**head, norm_cfg=dict(type='BN')),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )


def _detection_parts(channels: int) -> dict:
    resize = dict(type='Resize', scale=(64, 64), keep_ratio=True)
    keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
    return dict(
        scope='mmdet',
        model=_detector(channels),
        pipeline=[
            dict(type='LoadAnnotations', with_bbox=True),
            resize,
            dict(type='PackDetInputs', meta_keys=keys),
        ],
        visualizer='DetLocalVisualizer',
        hook='DetVisualizationHook',
    )


def _classification_parts(channels: int, head: dict) -> dict:
    pipeline = [dict(type='Resize', scale=(64, 48)), dict(type='PackInputs')]
    return dict(
        scope='mmpretrain',
        model=_classifier(channels, head),
        pipeline=pipeline,
        visualizer='UniversalVisualizer',
        hook='VisualizationHook',
    )


def _coco(channels: int) -> dict:
    prefix = dict(img='images')
    dataset = dict(type='CocoDataset', ann_file='{split}.json', data_prefix=prefix)
    evaluator = dict(type='CocoMetric', metric='bbox', ann_file='{root}/val.json')
    return _detection_parts(channels) | dict(dataset=dataset, evaluator=evaluator)


def _xml(channels: int) -> dict:
    dataset = dict(
        type='XMLDataset',
        ann_file='{split}.txt',
        img_subdir='images',
        data_prefix=dict(sub_data_root=''),
    )
    metric = dict(type='VOCMetric', metric='mAP', eval_mode='11points')
    return _detection_parts(channels) | dict(
        dataset=dataset, evaluator=[metric, dict(metric, iou_thrs=[0.3], prefix='loose')]
    )


def _multi_label(channels: int) -> dict:
    head = dict(type='MultiLabelLinearClsHead')
    dataset = dict(type='MultiLabelDataset', ann_file='{split}.json', data_prefix='images')
    evaluator = [dict(type='AveragePrecision'), dict(type='MultiLabelMetric', average='macro')]
    return _classification_parts(channels, head) | dict(dataset=dataset, evaluator=evaluator)


def _list(channels: int) -> dict:
    head = dict(type='LinearClsHead', topk=(1,))
    dataset = dict(type='CustomDataset', ann_file='{split}.txt', data_prefix='images')
    evaluator = [dict(type='Accuracy', topk=(1,)), dict(type='SingleLabelMetric')]
    return _classification_parts(channels, head) | dict(dataset=dataset, evaluator=evaluator)


def _label_maps(channels: int) -> dict:
    dataset = dict(
        type='BaseSegDataset',
        ann_file='{split}.txt',
        data_prefix=dict(img_path='images', seg_map_path='labels'),
    )
    pipeline = [
        dict(type='Resize', scale=(64, 48), keep_ratio=True),
        dict(type='LoadAnnotations'),
        dict(type='PackSegInputs'),
    ]
    return dict(
        scope='mmseg',
        model=_segmentor(channels),
        pipeline=pipeline,
        visualizer='SegLocalVisualizer',
        hook='SegVisualizationHook',
        dataset=dataset,
        evaluator=dict(type='IoUMetric', iou_metrics=['mIoU']),
    )


# what a reader is called here: its files and the parts of its config
READERS: dict[str, tuple[Callable[[Path, str], None], Callable[[int], dict]]] = dict(
    coco=(_write_coco, _coco),
    xml=(_write_xml, _xml),
    multi_label=(_write_multi_label, _multi_label),
    list_file=(_write_list, _list),
    label_maps=(_write_label_maps, _label_maps),
)


def make_set(folder: Path, reader: str, channels: int) -> ReaderSet:
    """Write images, labels, config and weights."""
    root = folder / f'{reader}{channels}'
    write_images(root / 'images', channels)
    write_labels, make_parts = READERS[reader]
    for split in NUMBER:
        write_labels(root, split)
    cfg = make_config(root, make_parts(channels), channels)
    config, checkpoint = root / f'{root.name}.py', root / 'weights.pth'
    cfg.dump(config)
    meta = dict(dataset_meta=dict(classes=CLASSES))
    torch.save(dict(state_dict=random_model(cfg).state_dict(), meta=meta), checkpoint)
    images = [root / f'images/val{index}.jpg' for index in range(NUMBER['val'])]
    return ReaderSet(reader, channels, root, config, checkpoint, images)


def make_config(root: Path, parts: dict, channels: int) -> Config:
    """The config of a set, for all tools."""
    load = dict(type='LoadImageFromFile', color_type=FLAGS[channels])
    shared = dict(
        parts['dataset'],
        data_root=str(root),
        metainfo=dict(classes=CLASSES),
        pipeline=[load, *parts['pipeline']],
    )
    loaders = {}
    for split, source in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        dataset = shared | dict(ann_file=shared['ann_file'].format(split=source))
        dataset |= {} if split == 'train' else dict(test_mode=True)
        loaders[f'{split}_dataloader'] = dict(
            batch_size=2 if split == 'train' else 1,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=split == 'train'),
            dataset=dataset,
        )
    evaluator = json.loads(json.dumps(parts['evaluator']).replace('{root}', str(root)))
    return Config(
        dict(
            default_scope=parts['scope'],
            model=parts['model'],
            **loaders,
            val_evaluator=evaluator,
            test_evaluator=evaluator,
            train_cfg=dict(by_epoch=True, max_epochs=1),
            val_cfg=dict(),
            test_cfg=dict(),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.001)),
            visualizer=dict(
                type=parts['visualizer'],
                vis_backends=[dict(type='LocalVisBackend')],
            ),
            default_hooks=dict(visualization=dict(type=parts['hook'])),
            custom_imports=dict(imports=['vminet_mm']),
            log_level='ERROR',
        )
    )
