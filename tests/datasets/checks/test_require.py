"""Data and models that are unlike most but sound: a training is not refused for them."""

import json
from pathlib import Path
from typing import Any

import cv2
import mmdet.datasets  # noqa: F401  registers
import mmpretrain.datasets  # noqa: F401  registers
import numpy as np
import pytest
from mmdet.datasets import CocoDataset, CocoPanopticDataset
from mmengine.config import Config
from mmengine.dataset import BaseDataset

from vminet_mm.datasets.checks import require_sound_lists
from vminet_mm.datasets.checks.classes import check_model
from vminet_mm.datasets.checks.report import Report
from vminet_mm.errors import ConfigError

CLASSES = ('a', 'b', 'c')
IMAGES = [dict(id=1, file_name='1.jpg', height=4, width=6)]
CATEGORIES = [dict(id=i, name=name, isthing=1) for i, name in enumerate(CLASSES)]
EMPTY_KEPT = dict(filter_empty_gt=False)


class OwnDataset(BaseDataset):
    """A user's data set that takes only what it needs."""

    METAINFO = dict(classes=CLASSES)

    def __init__(self, ann_file: str, pipeline: list, test_mode: bool = False) -> None:
        super().__init__(ann_file, pipeline=pipeline, test_mode=test_mode)


def config(split: str, dataset: dict, model: dict | None = None, scope: str = 'mmdet') -> Config:
    loader = {f'{split}_dataloader': dict(dataset=dataset)}
    return Config(dict(default_scope=scope, model=model or {}, **loader))


def coco(folder: Path, **lists: Any) -> dict:
    """A data set whose file has these lists beside images and categories."""
    path = folder / 'list.json'
    cv2.imwrite(str(folder / '1.jpg'), np.zeros((4, 6, 3), np.uint8))
    path.write_text(json.dumps(dict(images=IMAGES, categories=CATEGORIES, **lists)))
    metainfo = dict(classes=CLASSES)
    return dict(
        type=CocoDataset, ann_file=str(path), metainfo=metainfo, data_prefix=dict(img=str(folder))
    )


def findings(model: dict, number: int, **settings: Any) -> Report:
    report = Report(echo=lambda line: None)
    check_model(report, Config(dict(model=model, **settings)), number, more_is_wrong=False)
    return report


def test_panoptic_annotations_are_not_read_as_boxes(tmp_path: Path) -> None:
    segments = dict(file_name='1.png', image_id=1, segments_info=[])
    dataset = coco(tmp_path, annotations=[segments])
    panoptic = dict(dataset, type=CocoPanopticDataset, data_prefix=dict(img='', seg=''))
    assert require_sound_lists(config('train', panoptic), ('train',)) is None
    with pytest.raises(ConfigError, match='annotations.bbox is missing'):
        require_sound_lists(config('train', dataset), ('train',))


@pytest.mark.parametrize(
    ('split', 'options', 'accepted'),
    [
        ('test', dict(test_mode=True), True),
        ('train', dict(filter_cfg=EMPTY_KEPT), True),  # the unlabeled part of mmdet's SoftTeacher
        ('train', {}, False),
        ('train', dict(filter_cfg=dict(filter_empty_gt=True)), False),
        ('val', dict(test_mode=True), False),
    ],
)
def test_file_without_annotations(
    split: str, options: dict, accepted: bool, tmp_path: Path
) -> None:
    cfg = config(split, coco(tmp_path) | options)
    if accepted:
        assert require_sound_lists(cfg, (split,)) is None
        return
    with pytest.raises(ConfigError, match="no annotation file of COCO|KeyError: 'annotations'"):
        require_sound_lists(cfg, (split,))


def test_images_without_labels_need_no_folders(tmp_path: Path) -> None:
    (tmp_path / '1.jpg').touch()
    dataset = dict(type='CustomDataset', data_prefix=str(tmp_path), with_label=False)
    assert require_sound_lists(config('train', dataset, scope='mmpretrain'), ('train',)) is None
    dataset['with_label'] = True
    with pytest.raises(ConfigError, match='there is no folder in'):
        require_sound_lists(config('train', dataset, scope='mmpretrain'), ('train',))
    dataset['data_prefix'] = 's3://bucket/train'
    assert require_sound_lists(config('train', dataset, scope='mmpretrain'), ('train',)) is None


def test_own_data_set_that_takes_no_lazy_init() -> None:
    cfg = config('train', dict(type=OwnDataset, ann_file='a.json'))
    assert require_sound_lists(cfg, ('train',)) is None
    cfg.model = dict(bbox_head=dict(num_classes=2))
    with pytest.raises(ConfigError, match='num_classes is 2, .* 3 classes'):
        require_sound_lists(cfg, ('train',))


@pytest.mark.parametrize(
    'model',
    [
        dict(auxiliary_head=[dict(type='STDCHead', num_classes=2, boundary_threshold=0.1)]),
        dict(panoptic_fusion_head={}, roi_head=dict(bbox_head=dict(num_classes=80))),
        dict(text_encoder={}, decode_head=dict(type='SideAdapterCLIPHead', num_classes=20)),
        dict(tracker={}, detector=dict(bbox_head=dict(num_classes=1))),
        dict(roi_head=dict(mask_head=dict(num_classes=1, class_agnostic=True))),
    ],
    ids=['boundaries', 'things', 'words', 'tracked', 'agnostic'],
)
def test_heads_that_count_otherwise_are_noted(model: dict) -> None:
    report = findings(model, 133)
    assert report.problems == [] and 'may count something else' in report.notes[0]


def test_heads_of_the_classes_are_refused() -> None:
    report = findings(dict(auxiliary_head=[dict(type='FCNHead', num_classes=2)]), 19)
    assert 'model.auxiliary_head.0.num_classes is 2' in report.problems[0]


def test_top_k_counts_classes_in_accuracy_alone() -> None:
    metrics = [dict(type='RetrievalRecall', topk=10), dict(type='mmpretrain.Accuracy', topk=(1, 7))]
    report = findings({}, 5, val_evaluator=metrics)
    (problem,) = report.problems
    assert problem.startswith('val_evaluator.1.topk asks for the best 7 of 5 classes')
    assert findings(dict(head=dict(topk=(1, 6))), 5).problems
