"""Annotations that are wrong: what tools/check_data.py says, and what a training does."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from checking import CONFIGS, OPTIONS, ROOT, SPLITS, edit_json, only_problem, truncate
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, DefaultScope

from vminet_mm.datasets import CLASSES
from vminet_mm.datasets.checks import check_config, require_sound_lists
from vminet_mm.datasets.checks.report import Report
from vminet_mm.engine import load_config, set_data_root
from vminet_mm.errors import ConfigError, DataError

TRAIN, VAL = 'annotations/instances_train2017.json', 'annotations/instances_val2017.json'
RLE = dict(size=[64, 80], counts=[0, 64 * 80])


def first(key: str = 'annotations', **entries: Any) -> Callable[[dict], None]:
    """Function that changes the first entry of a list; None takes a key away."""

    def change(content: dict) -> None:
        content[key][0].update(entries)
        for name in [name for name, value in entries.items() if value is None]:
            del content[key][0][name]

    return change


def repeat(key: str) -> Callable[[dict], None]:
    """Function that gives the second entry of a list the id of the first."""
    return lambda content: content[key][1].update(id=content[key][0]['id'])


def rename(content: dict) -> None:
    content['categories'][1]['name'] = 'plus'


# what is wrong: how to make it in the list for training, and what is said; all are refused both
# by the check and by a training
REFUSED = {
    'empty image list': (lambda c: c.update(images=[]), 'lists no image'),
    'class that the file does not have': (
        rename,
        '1 of 5 classes of the config are not in the annotation file (cross)',
    ),
    'category_id of no category': (
        first(category_id=77),
        '1 annotations have a category_id which the file does not define (77)',
    ),
    'category without a name': (first('categories', name=None), '1 x categories.name is missing'),
    'NaN in a box': (first(bbox=[1, float('nan'), 3, 4]), '1 boxes are not four numbers, or NaN'),
    'infinite box': (first(bbox=[1, 2, float('inf'), 4]), 'or NaN or infinite (annotation ids 1)'),
    'box of three numbers': (first(bbox=[1, 2, 3]), '1 boxes are not four numbers'),
    'box as text': (first(bbox='1 2 3 4'), '1 boxes are not four numbers'),
    'NaN as area': (first(area=float('nan')), '1 areas are no number, or NaN'),
    'RLE of another size than the image': (
        first(segmentation=RLE),
        '1 masks (run-length codes) are not of the size of their image (annotation ids 1)',
    ),
    'RLE with pixels missing': (
        first(segmentation=dict(size=[128, 160], counts=[5, 7])),
        '1 masks (run-length codes) are not of the size of their image',
    ),
    'object without an area': (first(area=None), '1 x annotations.area is missing'),
    'image without a height': (first('images', height=None), '1 x images.height is missing'),
    'image of no height': (
        lambda c: (
            first('images', height=0)(c),
            c.update(annotations=[e for e in c['annotations'] if e['image_id'] != 1]),
        ),
        '1 images have a height or width that is no size (image ids 1)',
    ),
    'id of two images': (repeat('images'), '1 image ids are given more than once (1)'),
    'file without categories': (
        lambda c: c.pop('categories'),
        "is not an annotation file of COCO (KeyError: 'categories')",
    ),
    'images that are no list': (
        lambda c: c.update(images=7),
        'is not an annotation file of COCO (TypeError',
    ),
}
# the same of what a training leaves out, as mmdet does; the check notes it
LEFT_OUT = {
    'zero-area box': (first(bbox=[5, 5, 0, 9]), '1 boxes are empty, under 1 pixel or outside'),
    'box outside of its image': (first(bbox=[160, 5, 9, 9]), '(annotation ids 1)'),
    'object of no listed image': (first(image_id=999), '1 annotations belong to no listed image'),
    'object of a class that is not trained': (
        lambda c: (c['categories'].append(dict(id=9, name='star')), first(category_id=9)(c)),
        'their 1 annotations are left out (star 1)',
    ),
}
FILES = {
    'truncated annotation file': lambda path: truncate(path),
    'HTML instead of annotations': lambda path: path.write_text('<html>Sign in</html>'),
    'list instead of annotations': lambda path: path.write_text('[1, 2]'),
}
LABELS = {
    'label out of range': (
        lambda labels: np.where(labels == labels.max(), 7, labels),
        'label 7 is out of range',
    ),
    'label map in colors': (lambda labels: np.dstack([labels] * 3), 'is RGB'),
    'label map of 16 bits': (lambda labels: labels.astype(np.uint16) + 256, 'is I;16'),
    'truncated label map': (None, '000000000002.png'),
}
CASES = [
    *REFUSED,
    *LEFT_OUT,
    *FILES,
    *LABELS,
    'order of classes that the file does not have',
    'listed image that is missing',
    'no image left by filter_cfg',
    'object without a mask',
    'id of two objects',
    'evaluator with another annotation file',
    'label map that is missing',
    'label map of another size than the image',
    'label of a list that is out of range',
    'label of a list that is no number',
    'folders that are not the classes',
    'no folder of a class',
    'classes written as text',
    'parts of a data set with different classes',
]


@cache
def _config(layout: str) -> Config:
    return load_config(ROOT / CONFIGS[layout], OPTIONS[layout])


def loaded(root: Path, **options: Any) -> Config:
    """The config of a layout's folder; dots of options are written as two underscores."""
    cfg = deepcopy(_config(root.name))
    set_data_root(cfg, str(root))
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in options.items()})
    return cfg


def check(root: Path, splits: tuple = ('train', 'val'), **options: Any) -> Report:
    """What tools/check_data.py finds that opens one image of each split."""
    return check_config(loaded(root, **options), splits, 1, echo=lambda line: None)


def dataset(cfg: Config, split: str = 'train') -> BaseDataset:
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        return DATASETS.build(cfg[f'{split}_dataloader'].dataset)


def refused(cfg: Config, splits: tuple = ('train', 'val')) -> str:
    """What a training says before it starts: one line with a fix for each problem."""
    with pytest.raises(ConfigError) as caught:
        require_sound_lists(cfg, splits)
    assert all(' -> ' in line for line in str(caught.value).splitlines())
    return str(caught.value)


@pytest.mark.parametrize('layout', CONFIGS)
def test_sound_lists_pass(layout: str, mini_root: Path) -> None:
    assert require_sound_lists(loaded(mini_root / layout), SPLITS) is None


@pytest.mark.parametrize('bad', REFUSED)
def test_refused(bad: str, copy_of: Callable) -> None:
    root, (change, text) = copy_of('coco'), REFUSED[bad]
    edit_json(root / TRAIN, change)
    for said in (only_problem(check(root, ('train',))), refused(loaded(root))):
        assert text in said and said.startswith('train: ')
        assert ' -> ' in said and '\n' not in said


@pytest.mark.parametrize('bad', LEFT_OUT)
def test_left_out(bad: str, copy_of: Callable) -> None:
    root, (change, text) = copy_of('coco'), LEFT_OUT[bad]
    edit_json(root / TRAIN, change)
    report = check(root, ('train',))
    assert report.problems == [] and any(text in note for note in report.notes)
    cfg = loaded(root)
    require_sound_lists(cfg, ('train',))
    data = dataset(cfg)
    kept = [len(data.get_data_info(i)['instances']) for i in range(len(data))]
    assert sum(kept) == len(json.loads((root / TRAIN).read_text())['annotations']) - 1


@pytest.mark.parametrize('bad', FILES)
def test_files_that_hold_no_annotations(bad: str, copy_of: Callable) -> None:
    root = copy_of('coco')
    FILES[bad](root / VAL)
    text = f'val: {root / VAL} is not an annotation file of COCO ('
    assert text in only_problem(check(root))
    assert text in refused(loaded(root))
    assert require_sound_lists(loaded(root), ('train',)) is None


def test_order_of_the_classes(mini_root: Path) -> None:
    classes = list(CLASSES[::-1])
    options = {f'{split}_dataloader__dataset__metainfo__classes': classes for split in SPLITS}
    for said in (
        check(mini_root / 'coco', **options).problems,
        refused(loaded(mini_root / 'coco', **options)).splitlines(),
    ):
        assert len(said) == 2
        assert all('orders the classes' in line for line in said)


def test_missing_image(copy_of: Callable) -> None:
    root = copy_of('coco')
    path = root / 'train2017/000000000003.jpg'
    path.unlink()
    problem = only_problem(check(root, ('train',)))
    assert '1 of 16 listed images are missing' in problem and path.name in problem
    data = dataset(loaded(root))
    with pytest.raises(DataError) as caught:
        data[2]
    assert str(caught.value).startswith(f'{path}: there is no such file; fix or remove it')


def test_no_image_left(copy_of: Callable) -> None:
    root = copy_of('coco')
    option = dict(train_dataloader__dataset__filter_cfg__min_size=999)
    text = f'{root / TRAIN}: no image is left by filter_cfg='
    problem = only_problem(check(root, ('train',), **option))
    assert text in problem and "'min_size': 999" in problem
    with pytest.raises(DataError, match=re.escape(text)):
        dataset(loaded(root, **option))
    edit_json(root / TRAIN, lambda content: content.update(annotations=[]))
    assert 'the annotation file holds no object' in refused(loaded(root))


def test_object_without_a_mask(copy_of: Callable) -> None:
    root = copy_of('coco')
    edit_json(root / TRAIN, first(segmentation=None))
    report = check_config(loaded(root), ('train',), 16, echo=lambda line: None)
    assert '1 of 66 objects have no segmentation' in report.problems[0]
    assert 'pipeline fails on 1 of 16' in report.problems[1]
    assert 'no segmentation' in refused(loaded(root))
    data = dataset(loaded(root))
    with pytest.raises(DataError, match=r"LoadAnnotations fails, KeyError: 'mask'"):
        data[0]


def test_id_of_two_objects(copy_of: Callable) -> None:
    root = copy_of('coco')
    edit_json(root / TRAIN, repeat('annotations'))
    text = '1 annotation ids are given more than once (1)'
    assert text in only_problem(check(root, ('train',))) and text in refused(loaded(root))


def test_evaluator_with_another_annotation_file(mini_root: Path) -> None:
    other = f'{mini_root}/coco/annotations/instances_train2017.json'
    problem = only_problem(check(mini_root / 'coco', val_evaluator__ann_file=other))
    assert problem.startswith(f'val: val_evaluator.ann_file is {other}')
    assert f'{mini_root}/coco/annotations/instances_val2017.json' in problem.split(' -> ')[1]


# ---- segmentation


@pytest.mark.parametrize('bad', LABELS)
def test_label_maps(bad: str, copy_of: Callable) -> None:
    root, (change, text) = copy_of('ade'), LABELS[bad]
    path = root / 'annotations/training/000000000002.png'
    if change is None:
        truncate(path)
    else:
        cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))
    problem = only_problem(check(root, ('train',)))
    assert text in problem and str(path) in problem
    data = dataset(loaded(root))
    assert data[0]['data_samples'].gt_sem_seg.data.ndim == 3
    with pytest.raises(DataError) as caught:
        for _ in range(20):  # until the crop has the label
            data[1]
    assert text in str(caught.value) and str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_label_map_that_is_missing(copy_of: Callable) -> None:
    root = copy_of('ade')
    (root / 'annotations/training/000000000002.png').unlink()
    assert '1 of 16 images have no label map' in only_problem(check(root, ('train',)))
    with pytest.raises(DataError, match=r'000000000002\.png'):
        dataset(loaded(root))[1]


def test_label_map_of_another_size(copy_of: Callable) -> None:
    root = copy_of('ade')
    path = root / 'annotations/training/000000000002.png'
    cv2.imwrite(str(path), np.ones((64, 80), np.uint8))
    problem = only_problem(check(root, ('train',)))
    assert f'{path} is (80, 64), its image (160, 128)' in problem
    with pytest.raises(DataError, match='000000000002'):
        dataset(loaded(root))[1]


# ---- classification


@pytest.mark.parametrize(
    ('label', 'listed'),
    [('5', 'labels 5 in {} are out of range; there are 5'), ('cross', 'lines of {} are no name')],
)
def test_list_of_labels(label: str, listed: str, copy_of: Callable) -> None:
    root = copy_of('imagenet')
    (root / 'list.txt').write_text(f'circle/1.jpg 0\ncircle/2.jpg {label}\n')
    options = dict(
        train_dataloader__dataset__ann_file='list.txt',
        train_dataloader__dataset__metainfo__classes=list(CLASSES),
    )
    said = refused(loaded(root, **options))
    assert listed.format(root / 'list.txt') in said
    assert check(root, ('train',), **options).problems


def test_folders_that_are_not_the_classes(copy_of: Callable) -> None:
    root = copy_of('imagenet')
    (root / 'train/star').mkdir()
    said = refused(loaded(root))
    assert 'model.head.num_classes is 5, the data have 6 classes' in said
    (problem,) = [p for p in check(root).problems if p.startswith('val: ')]
    assert '5 classes are not the 6 of train (star)' in problem


def test_no_folder_of_a_class(copy_of: Callable) -> None:
    root = copy_of('imagenet')
    for folder in (root / 'val').iterdir():
        folder.rename(root / folder.name)
    assert 'val: there is no folder in' in check(root).problems[0]
    assert f'no folder in {root / "val"}' in refused(loaded(root))


# ---- the classes of a config


def test_classes_written_as_text(mini_root: Path) -> None:
    options = {f'{split}_dataloader__dataset__metainfo__classes': 'circle' for split in SPLITS}
    root = mini_root / 'coco'
    for said in (check(root, **options).problems, refused(loaded(root, **options)).splitlines()):
        assert len(said) == 2
        assert "metainfo.classes is the text 'circle', not a list of names" in said[0]


@pytest.mark.parametrize('ignored', [True, False])
def test_parts_with_different_classes(ignored: bool, mini_root: Path) -> None:
    """MMEngine compares them, unless it is told to ignore the names."""
    cfg = loaded(mini_root / 'imagenet', train_dataloader__dataset__metainfo__classes=CLASSES)
    part = cfg.train_dataloader.dataset
    other = dict(part, metainfo=dict(classes=CLASSES[::-1]))
    cfg.train_dataloader.dataset = dict(
        type='ConcatDataset', datasets=[part, other], ignore_keys=['classes'] if ignored else None
    )
    said = refused(cfg, ('train',))
    assert 'different classes: 5, and 5 in ' in said
    assert '(their order differs)' in said
