"""Defects of a detection set, made on purpose: each is named with its fix."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from checking import check, edit_json, only_problem


@pytest.fixture
def copy_of(mini_root: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Function that copies a layout of the built-in data to where it may be damaged."""

    def copy(layout: str) -> Path:
        return Path(shutil.copytree(mini_root / layout, tmp_path / layout))

    return copy


def test_class_that_the_annotations_lack(copy_of: Callable) -> None:
    root = copy_of('coco')

    def rename(content: dict) -> None:
        content['categories'][1]['name'] = 'plus'

    edit_json(root / 'annotations/instances_train2017.json', rename)
    report = check(root)
    problem = only_problem(report)
    assert '1 of 5 classes' in problem and 'annotation file (cross)' in problem
    assert 'train_dataloader.dataset.metainfo.classes="[circle,plus,ring,square,triangle]"' in (
        problem
    )
    assert any('1 categories' in note and 'plus' in note for note in report.notes)


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
    assert '1 annotations belong to no listed image (annotation ids 3)' in notes
    assert any('1 of them crowds' in line for line in report.lines)
    assert len(report.samples['train']) == 15  # filter_empty_gt
