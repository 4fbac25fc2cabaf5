"""COCO's numbers of images and classes."""

import json
from pathlib import Path

import numpy as np
import pytest

from vminet_mm.errors import InputError
from vminet_mm.inference.coco_ids import coco_ids, write_results

FILES = [Path('a/000000000139.jpg'), Path('a/7.png')]


def test_without_annotations() -> None:
    assert coco_ids('xyz', FILES) == ({'a/000000000139.jpg': 139, 'a/7.png': 7}, [1, 2, 3])
    for others in ([*FILES, Path('b/7.png')], [*FILES, Path('b/dog.png')]):
        assert list(coco_ids('x', others)[0].values()) == [1, 2, 3]


def test_numbers_of_coco() -> None:
    numbers = coco_ids(range(80), [])[1]
    # of its annotation file: person, fire hydrant, stop sign, backpack, dining table, toothbrush
    assert [numbers[k] for k in (0, 10, 11, 24, 60, 79)] == [1, 11, 13, 27, 67, 90]
    assert len(set(numbers)) == 80


def test_of_an_annotation_file(tmp_path: Path) -> None:
    file = tmp_path / 'ann.json'
    content = dict(
        images=[dict(id=5, file_name='val/7.png'), dict(id=6, file_name='000000000139.jpg')],
        categories=[dict(id=4, name='b'), dict(id=2, name='a')],
    )
    file.write_text(json.dumps(content))
    assert coco_ids('ab', FILES, file) == ({'a/000000000139.jpg': 6, 'a/7.png': 5}, [2, 4])
    with pytest.raises(InputError, match="no category 'c'"):
        coco_ids('abc', FILES, file)
    with pytest.raises(InputError, match='no image 8.png'):
        coco_ids('ab', [Path('8.png')], file)
    file.write_text('[1]')
    with pytest.raises(InputError, match='not an annotation file'):
        coco_ids('ab', FILES, file)
    with pytest.raises(InputError, match='cannot be opened'):
        coco_ids('ab', FILES, tmp_path / 'none.json')


def test_images_of_one_name_in_several_folders(tmp_path: Path) -> None:
    file = tmp_path / 'ann.json'
    names = ['a/x.jpg', 'b/x.jpg', 'y.jpg', '\u732b/y.jpg']
    images = [dict(id=number, file_name=name) for number, name in enumerate(names)]
    content = dict(images=images, categories=[dict(id=4, name='a')])
    file.write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8-sig')
    numbers, _ = coco_ids('a', [Path('val', name) for name in names], file)
    assert list(numbers.values()) == [0, 1, 2, 3]
    with pytest.raises(InputError, match=r'2 images x\.jpg'):
        coco_ids('a', [Path('c/x.jpg')], file)


def test_results_of_images_without_objects(tmp_path: Path) -> None:
    path = tmp_path / 'results.json'
    write_results(path, [], [1])
    assert json.loads(path.read_text()) == []
    one = dict(bboxes=np.array([[1, 2, 4, 7]]), scores=np.array([0.5]), labels=np.array([1]))
    none = dict(bboxes=np.zeros((0, 4)), scores=np.zeros(0), labels=np.zeros(0, int))
    write_results(path, [dict(none, img_id=3), dict(one, img_id=4)], [10, 20])
    expected = dict(image_id=4, bbox=[1, 2, 3, 5], score=0.5, category_id=20)
    assert json.loads(path.read_text()) == [expected]
