"""The three sets through the readers of the frameworks, against the scenes they were drawn from."""

import contextlib
import copy
import io
import json

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmpretrain.datasets import CustomDataset, ImageNet
from mmseg.datasets import ADE20KDataset, BaseSegDataset
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import vminet_mm  # noqa: F401
from vminet_mm.datasets import CLASSES, PALETTE, SEG_CLASSES, SEG_PALETTE

SPLITS = {'train': ('training', 16), 'val': ('validation', 6)}


def read_coco(root, split):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(root / f'coco/annotations/instances_{split}2017.json'))


@pytest.mark.parametrize('split', SPLITS)
def test_coco_masks_boxes_and_areas(mini_root, scene_of, split):
    coco = read_coco(mini_root, split)
    assert [entry['name'] for entry in coco.dataset['categories']] == list(CLASSES)
    assert len(coco.imgs) == SPLITS[split][1]
    for image_id, image in coco.imgs.items():
        scene = scene_of(split, image_id - 1)
        assert (image['height'], image['width']) == (128, 160)
        annotations = coco.imgToAnns[image_id]
        assert [entry['category_id'] - 1 for entry in annotations] == scene.labels.tolist()
        for entry, expected in zip(annotations, scene.masks, strict=True):
            mask = coco.annToMask(entry).astype(bool)
            assert np.array_equal(mask, expected)
            rows, columns = np.nonzero(mask)
            left, top = columns.min(), rows.min()
            box = [left, top, columns.max() + 1 - left, rows.max() + 1 - top]
            assert entry['bbox'] == box
            assert entry['area'] == mask.sum()
            assert entry['iscrowd'] == 0 and entry['id'] > 0


@pytest.mark.parametrize('split', SPLITS)
def test_label_maps_equal_the_masks_of_the_same_image(mini_root, split):
    coco = read_coco(mini_root, split)
    folder = SPLITS[split][0]
    for image_id, image in coco.imgs.items():
        expected = np.ones((128, 160), dtype=np.uint8)
        for entry in coco.imgToAnns[image_id]:
            expected[coco.annToMask(entry) > 0] = entry['category_id'] + 1
        stem = image['file_name'].removesuffix('.jpg')
        label_map = cv2.imread(
            str(mini_root / f'ade/annotations/{folder}/{stem}.png'), cv2.IMREAD_UNCHANGED
        )
        assert np.array_equal(label_map, expected)
        same = (mini_root / f'ade/images/{folder}/{stem}.jpg').read_bytes()
        assert (mini_root / f'coco/{split}2017/{stem}.jpg').read_bytes() == same


@pytest.mark.parametrize('kind', ['bbox', 'segm'])
def test_perfect_predictions_score_one(mini_root, kind):
    ground_truth = read_coco(mini_root, 'val')
    results = [
        {key: copy.deepcopy(entry[key]) for key in ('image_id', 'category_id', value)}
        | {'score': 0.9}
        for entry in ground_truth.dataset['annotations']
        for value in ('bbox' if kind == 'bbox' else 'segmentation',)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(ground_truth, ground_truth.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    assert evaluation.stats[:3] == pytest.approx([1.0, 1.0, 1.0])


@pytest.mark.parametrize('split', SPLITS)
def test_mmdet_reads_the_detection_set(mini_root, scene_of, split):
    dataset = CocoDataset(
        data_root=str(mini_root / 'coco'),
        ann_file=f'annotations/instances_{split}2017.json',
        data_prefix={'img': f'{split}2017/'},
        metainfo={'classes': CLASSES, 'palette': PALETTE},
        filter_cfg={'filter_empty_gt': True, 'min_size': 1},
        pipeline=[
            {'type': 'LoadImageFromFile'},
            {'type': 'mmdet.LoadAnnotations', 'with_bbox': True, 'with_mask': True},
            {'type': 'mmdet.PackDetInputs'},
        ],
    )
    assert len(dataset) == SPLITS[split][1]
    for index in range(len(dataset)):
        item, scene = dataset[index], scene_of(split, index)
        ground_truth = item['data_samples'].gt_instances
        assert tuple(item['inputs'].shape) == (3, 128, 160)
        assert not len(item['data_samples'].ignored_instances)
        assert ground_truth.labels.tolist() == scene.labels.tolist()
        assert np.array_equal(ground_truth.masks.masks.astype(bool), scene.masks)
        boxes = ground_truth.masks.get_bboxes(type(ground_truth.bboxes)).tensor
        assert boxes.tolist() == ground_truth.bboxes.tensor.tolist()
        image = item['inputs'].permute(1, 2, 0).numpy()[..., ::-1]
        assert (
            np.abs(image.astype(float) - scene.image).mean() < 8
        )  # a swap of channels gives far more


SEG_PIPELINE = [{'type': 'LoadImageFromFile'}, {'type': 'mmseg.LoadAnnotations'}]


@pytest.mark.parametrize('split', SPLITS)
def test_mmseg_reads_the_segmentation_set(mini_root, scene_of, split):
    folder, number = SPLITS[split]
    prefix = {'img_path': f'images/{folder}', 'seg_map_path': f'annotations/{folder}'}
    common = {'data_root': str(mini_root / 'ade'), 'data_prefix': prefix, 'pipeline': SEG_PIPELINE}
    # ADE20KDataset only takes subsets of its own 150 classes; the base class takes any.
    own = BaseSegDataset(
        metainfo={'classes': SEG_CLASSES, 'palette': SEG_PALETTE}, reduce_zero_label=True, **common
    )
    ade = ADE20KDataset(**common)
    assert own.metainfo['classes'] == SEG_CLASSES
    assert len(own) == len(ade) == number
    for index in range(number):
        expected = scene_of(split, index).segmentation() - 1
        assert np.array_equal(own[index]['gt_seg_map'], expected)
        assert np.array_equal(ade[index]['gt_seg_map'], expected)


@pytest.mark.parametrize('split', SPLITS)
def test_mmpretrain_reads_the_classification_set(mini, split):
    root, summary = mini
    counts = list(summary['counts'][split]['crops'].values())
    named = CustomDataset(data_root=str(root / 'imagenet'), data_prefix=split)
    imagenet = ImageNet(
        data_root=str(root / 'imagenet'), split=split, metainfo={'classes': CLASSES}
    )
    for dataset in (named, imagenet):
        assert tuple(dataset.CLASSES) == CLASSES
        labels = dataset.get_gt_labels()
        assert np.bincount(labels, minlength=5).tolist() == counts
        for index in range(0, len(dataset), 7):
            info = dataset.get_data_info(index)
            assert f'/{CLASSES[info["gt_label"]]}/' in info['img_path']


def test_annotation_ids_count_from_one_and_masks_are_text(mini_root):
    content = json.loads((mini_root / 'coco/annotations/instances_val2017.json').read_text())
    ids = [entry['id'] for entry in content['annotations']]
    assert ids == list(range(1, len(ids) + 1))
    for entry in content['annotations']:
        assert isinstance(entry['segmentation']['counts'], str)
        assert entry['segmentation']['size'] == [128, 160]
