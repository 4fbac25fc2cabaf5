"""Defects of a detection set, made on purpose: each is named with its remedy."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from checking import SPLITS, check, edit_json, only_problem, truncate

from vminet_mm.datasets import CLASSES
from vminet_mm.engine.data_check.report import class_list


@pytest.fixture
def copy_of(mini_root: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Function that copies a layout of the built-in data to where it may be spoilt."""

    def copy(layout: str) -> Path:
        return Path(shutil.copytree(mini_root / layout, tmp_path / layout))

    return copy


def test_missing_image_of_the_list(copy_of: Callable) -> None:
    root = copy_of('coco')
    (root / 'train2017/000000000003.jpg').unlink()
    report = check(root)
    problem = only_problem(report)
    assert 'train: 1 of 16 listed images are missing' in problem and '000000000003.jpg' in problem
    assert len(report.samples['train']) == 15


def test_class_that_the_annotations_lack(copy_of: Callable) -> None:
    root = copy_of('coco')

    def rename(content: dict) -> None:
        content['categories'][1]['name'] = 'plus'

    edit_json(root / 'annotations/instances_train2017.json', rename)
    report = check(root)
    problem = only_problem(report)
    assert '1 of 5 classes of the config are not in the annotation file (cross)' in problem
    assert 'train_dataloader.dataset.metainfo.classes="[circle,plus,ring,square,triangle]"' in (
        problem
    )
    assert any('1 categories' in note and 'plus' in note for note in report.notes)


def test_category_that_the_config_does_not_know(copy_of: Callable) -> None:
    root = copy_of('coco')

    def add(content: dict) -> None:
        content['categories'].append({'id': 9, 'name': 'star'})
        content['annotations'][0]['category_id'] = 9

    edit_json(root / 'annotations/instances_train2017.json', add)
    report = check(root)
    assert report.problems == []
    assert 'their 1 annotations are left out (star 1)' in report.notes[0]


def test_category_id_without_a_category(copy_of: Callable) -> None:
    root = copy_of('coco')
    edit_json(
        root / 'annotations/instances_val2017.json',
        lambda content: content['annotations'][0].update(category_id=77),
    )
    problem = only_problem(check(root))
    assert 'val: 1 annotations have a category_id which the file does not define (77)' in problem


def test_other_order_of_the_classes(mini_root: Path) -> None:
    classes = list(CLASSES[::-1])
    options = {f'{split}_dataloader__dataset__metainfo__classes': classes for split in SPLITS}
    report = check(mini_root / 'coco', samples=1, **options)
    assert len(report.problems) == 2
    assert all('orders the classes otherwise' in problem for problem in report.problems)
    assert class_list(CLASSES) in report.problems[0]


def test_odd_objects(copy_of: Callable) -> None:
    root = copy_of('coco')

    def spoil(content: dict) -> None:
        first, second, third, fourth = content['annotations'][:4]
        first['bbox'][2] = 0
        second['bbox'][0] = 160  # the image's width
        third['image_id'] = 999
        fourth['iscrowd'] = 1
        last = content['images'][-1]['id']
        content['annotations'] = [e for e in content['annotations'] if e['image_id'] != last]

    edit_json(root / 'annotations/instances_train2017.json', spoil)
    (root / 'train2017/extra.jpg').touch()
    report = check(root)
    assert report.problems == []
    notes = '\n'.join(report.notes)
    assert '1 files in' in notes and '1 of 16 images are without annotation' in notes
    assert '2 boxes are empty' in notes and '(annotation ids 1, 2)' in notes
    assert '1 annotations belong to no listed image (ids 3)' in notes
    assert any('1 of them crowds' in line for line in report.lines)
    assert len(report.samples['train']) == 15  # filter_empty_gt


@pytest.mark.parametrize(
    ('change', 'expected'),
    [
        (lambda c: c['annotations'][0].pop('area'), '1 x annotations.area is missing'),
        (lambda c: c['images'][0].pop('height'), '1 x images.height is missing'),
        (lambda c: c.pop('categories'), "not an annotation file of COCO (KeyError: 'categories')"),
        (lambda c: c['annotations'][0]['bbox'].pop(), '1 boxes are not four numbers'),
        (lambda c: c['annotations'][1].update(id=1), 'Annotation ids in'),
        (lambda c: c['annotations'][0].pop('segmentation'), "the pipeline fails on 1 of 16"),
    ],
)  # fmt: skip
def test_unusable_annotation_file(change: Callable, expected: str, copy_of: Callable) -> None:
    root = copy_of('coco')
    edit_json(root / 'annotations/instances_train2017.json', change)
    problem = only_problem(check(root, ('train',)))
    assert expected in problem and ' -> ' in problem and '\n' not in problem


def test_annotation_file_that_is_no_json(copy_of: Callable) -> None:
    root = copy_of('coco')
    truncate(root / 'annotations/instances_val2017.json')
    assert 'is not an annotation file of COCO (JSONDecodeError' in only_problem(check(root))


def test_evaluator_with_another_annotation_file(mini_root: Path) -> None:
    other = f'{mini_root}/coco/annotations/instances_train2017.json'
    problem = only_problem(check(mini_root / 'coco', samples=1, val_evaluator__ann_file=other))
    assert problem.startswith(f'val_evaluator.ann_file is {other}')
    assert f'{mini_root}/coco/annotations/instances_val2017.json' in problem.split(' -> ')[1]
