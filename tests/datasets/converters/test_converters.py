"""Imitations of the public downloads, converted and read by the libraries' own readers.

What the converters refuse is in tests/bad_input/test_bad_downloads.py.
"""

import json
import pickle
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from downloads import box, camvid, cifar10, nuclei, python2_pickle, voc, xml
from PIL import Image
from pycocotools.coco import COCO

from vminet_mm.datasets.converters import (
    convert_camvid,
    convert_cifar10,
    convert_nuclei,
    convert_voc,
)

TOOL = Path(__file__).parents[3] / 'tools/dataset_converters/convert.py'


@pytest.mark.parametrize('write', [python2_pickle, pickle.dumps])
def test_cifar10(write: object, tmp_path: Path) -> None:
    """As published, and pickled again."""
    pixels = cifar10(tmp_path / 'in', write)
    assert convert_cifar10(tmp_path / 'in', tmp_path / 'out') == dict(train=10, test=2)
    assert len(list((tmp_path / 'out/train/airplane').iterdir())) == 5
    written = np.asarray(Image.open(tmp_path / 'out/train/automobile/00000.png'))
    assert np.array_equal(written, pixels)


def test_nuclei(tmp_path: Path) -> None:
    nuclei(tmp_path / 'in')
    assert convert_nuclei(tmp_path / 'in', tmp_path / 'out', 0.25) == dict(val=1, train=3)
    coco = COCO(tmp_path / 'out/annotations/instances_train2017.json')
    objects = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert [entry['bbox'] for entry in objects] == [[1, 2, 3, 3], [5, 0, 4, 7]]
    assert [entry['area'] for entry in objects] == [9, 28]
    assert coco.annToMask(objects[0])[2:5, 1:4].all() and coco.annToMask(objects[0]).sum() == 9
    for image in coco.dataset['images']:
        with Image.open(tmp_path / 'out/train2017' / image['file_name']) as picture:
            assert picture.size == (9, 7) and picture.mode == 'RGB'


def test_nuclei_with_what_lies_about(tmp_path: Path) -> None:
    """Hidden files, a list beside the folders, another kind of image and masks, overlap."""
    source = tmp_path / 'in'
    nuclei(source, 3)
    for name in ('.DS_Store', 'id0/.DS_Store', 'id0/images/._id0.png', 'id0/masks/._0.png'):
        (source / name).write_bytes(b'\x00\x05')
    (source / 'stage1_train_labels.csv').write_text('ImageId')
    (source / 'id1/images/id1.png').unlink()
    Image.fromarray(np.full((7, 9), 512, np.uint16)).save(source / 'id1/images/image.tif')
    for path in (source / 'id1/masks').iterdir():
        path.unlink()
    (source / 'id2/masks/0.png').unlink()
    whole = np.zeros((7, 9, 4), np.uint8)
    whole[..., 3] = 255  # opaque is not the nucleus
    whole[3:6, 2:8, :3] = 255
    Image.fromarray(whole).save(source / 'id2/masks/4.PNG')
    assert sum(convert_nuclei(source, tmp_path / 'out').values()) == 3
    boxes = {}
    for split in ('train', 'val'):
        coco = COCO(tmp_path / f'out/annotations/instances_{split}2017.json')
        for image in coco.dataset['images']:
            objects = coco.loadAnns(coco.getAnnIds(imgIds=[image['id']]))
            boxes[image['file_name']] = [entry['bbox'] for entry in objects]
            assert (tmp_path / f'out/{split}2017' / image['file_name']).is_file()
            if image['file_name'] == 'id1.png':  # the upper 8 of 16 bits
                pixels = np.asarray(Image.open(tmp_path / f'out/{split}2017/id1.png'))
                assert (pixels == 2).all() and pixels.shape == (7, 9, 3)
    assert boxes == {
        'id0.png': [[1, 2, 3, 3], [5, 0, 4, 7]],
        'id1.png': [],
        'id2.png': [[5, 0, 4, 7], [2, 3, 6, 3]],
    }


def test_camvid(tmp_path: Path) -> None:
    camvid(tmp_path / 'in')
    counts = convert_camvid(tmp_path / 'in', tmp_path / 'out', val='test')
    assert counts == dict(train=1, val=1)
    labels = np.asarray(Image.open(tmp_path / 'out/annotations/validation/a.png'))
    assert labels.ravel().tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0]
    assert (tmp_path / 'out/images/training/a.jpg').is_file()


def test_camvid_of_another_copy(tmp_path: Path) -> None:
    """Void as 255, indices of a palette, JPEG and upper case, hidden files, SegNet's lists."""
    source = tmp_path / 'in'
    camvid(source)
    (source / 'train.txt').write_text('/SegNet/CamVid/train/a.png /SegNet/CamVid/trainannot/a.png')
    for name in ('train/._a.png', 'trainannot/._a.png', 'trainannot/.DS_Store'):
        (source / name).write_bytes(b'\x00\x05')
    (source / 'train/a.png').unlink()
    Image.new('RGB', (4, 3)).save(source / 'train/a.JPG', 'JPEG')
    labels = Image.fromarray(np.array([[0, 255, 10, 11]] * 3, np.uint8), 'P')
    labels.putpalette([90, 80, 70] * 256)
    labels.save(source / 'trainannot/a.png')
    assert convert_camvid(source, tmp_path / 'out') == dict(train=1, val=1)
    written = np.asarray(Image.open(tmp_path / 'out/annotations/training/a.png'))
    assert written.tolist() == [[1, 0, 11, 0]] * 3


def annotations(folder: Path, split: str) -> dict:
    """The annotation file of a split."""
    return json.loads((folder / f'annotations/instances_{split}2017.json').read_text())


def test_voc(tmp_path: Path) -> None:
    voc(tmp_path / 'in')
    assert convert_voc(tmp_path / 'in', tmp_path / 'out') == dict(train=1, val=1)
    content = annotations(tmp_path / 'out', 'val')
    ids = dict(id=1, image_id=1, category_id=1)
    assert content['annotations'] == [
        dict(**ids, bbox=[0, 1, 10, 4], area=40, segmentation=[], iscrowd=0)
    ]
    assert content['images'] == [dict(id=1, file_name='b.jpg', width=20, height=10)]
    assert content['categories'] == [dict(id=1, name='RBC')]


def test_voc_boxes(tmp_path: Path) -> None:
    """Fractions, one pixel, 0 as the first pixel, over the edge; difficult objects, parts."""
    voc(tmp_path / 'in')
    part = '<part><name>nose</name><bndbox><xmin>1</xmin></bndbox></part>'
    objects = [
        box(1.5, 2.25, 10, 5),
        box(7, 4, 7, 4, name=' white cell '),
        box(0, 0, 3, 2, more='<difficult>1</difficult>'),
        box(15, 6, 24, 12, more=f'<difficult>0</difficult>{part}'),
    ]
    (tmp_path / 'in/Annotations/a.xml').write_text(xml(''.join(objects)))
    convert_voc(tmp_path / 'in', tmp_path / 'out', classes=['white cell', 'platelet', 'RBC'])
    content = annotations(tmp_path / 'out', 'train')
    found = [(e['bbox'], e['category_id'], e['iscrowd']) for e in content['annotations']]
    assert found == [
        ([0.5, 1.25, 9.5, 3.75], 3, 0),
        ([6, 3, 1, 1], 1, 0),
        ([0, 0, 3, 2], 3, 1),
        ([14, 5, 6, 5], 3, 0),
    ]
    assert [entry['name'] for entry in content['categories']] == ['white cell', 'platelet', 'RBC']


@pytest.mark.parametrize('told', ['a.png', 'a', '', 'C:\\pictures\\a.png', '../other/b.jpg'])
def test_voc_takes_the_image_of_the_annotations_name(told: str, tmp_path: Path) -> None:
    voc(tmp_path / 'in')
    (tmp_path / 'in/Annotations/a.xml').write_text(xml(box(1, 1, 2, 2), told, size=(0, 0)))
    convert_voc(tmp_path / 'in', tmp_path / 'out')
    (image,) = annotations(tmp_path / 'out', 'train')['images']
    assert image == dict(id=1, file_name='a.jpg', width=20, height=10)


def test_voc_takes_the_image_that_the_annotation_names(tmp_path: Path) -> None:
    """Where none has its own name; and of two that have it."""
    voc(tmp_path / 'in')
    folder = tmp_path / 'in/JPEGImages'
    (folder / 'a.jpg').rename(folder / 'photo 1.JPG')
    (tmp_path / 'in/Annotations/a.xml').write_text(xml(box(1, 1, 2, 2), 'photo 1.jpg', size=None))
    Image.new('RGB', (6, 4)).save(folder / 'b.png')
    (tmp_path / 'in/Annotations/b.xml').write_text(xml(box(1, 1, 2, 2), 'b.png', size=None))
    convert_voc(tmp_path / 'in', tmp_path / 'out')
    names = {split: annotations(tmp_path / 'out', split)['images'] for split in ('train', 'val')}
    assert names['train'] == [dict(id=1, file_name='photo 1.JPG', width=20, height=10)]
    assert names['val'] == [dict(id=1, file_name='b.png', width=6, height=4)]


def test_voc_lists(tmp_path: Path) -> None:
    """Names with spaces, marks of lists of one class, a byte order mark, a name twice."""
    voc(tmp_path / 'in')
    for name in ('photo 1', 'photo'):
        Image.new('RGB', (20, 10)).save(tmp_path / f'in/JPEGImages/{name}.jpg')
        path = tmp_path / f'in/Annotations/{name}.xml'
        path.write_text(xml(box(1, 1, 2, 2), filename=f'{name}.jpg'))
    lists = tmp_path / 'in/ImageSets/Main'
    (lists / 'train.txt').write_text('\ufeffphoto 1\nphoto  -1\n\na 1\nphoto 1\n', 'utf-8')
    assert convert_voc(tmp_path / 'in', tmp_path / 'out') == dict(train=3, val=1)
    images = annotations(tmp_path / 'out', 'train')['images']
    assert [image['file_name'] for image in images] == ['photo 1.jpg', 'photo.jpg', 'a.jpg']


def test_voc_without_lists(tmp_path: Path) -> None:
    voc(tmp_path / 'in')
    for path in (tmp_path / 'in/ImageSets/Main').iterdir():
        path.unlink()
    seen = set()
    for seed in range(4):
        target = tmp_path / f'out{seed}'
        counts = convert_voc(tmp_path / 'in', target, val_fraction=0.1, seed=seed)
        assert counts == dict(val=1, train=1)
        (image,) = annotations(target, 'val')['images']
        seen.add(image['file_name'])
    assert seen == {'a.jpg', 'b.jpg'}


def test_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Into a folder that is there and empty."""
    camvid(tmp_path / 'in')
    (tmp_path / 'out').mkdir()
    monkeypatch.setattr(
        sys, 'argv', ['convert.py', 'camvid', str(tmp_path / 'in'), str(tmp_path / 'out')]
    )
    runpy.run_path(str(TOOL), run_name='__main__')
    assert '1 train, 1 val' in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == ['annotations', 'images']
