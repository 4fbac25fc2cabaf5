"""Imitations of the public downloads, converted and read by the libraries' own readers."""

import json
import pickle
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from vminet_mm.datasets.converters import (
    convert_camvid,
    convert_cifar10,
    convert_nuclei,
    convert_voc,
)
from vminet_mm.errors import ConfigError

TOOL = Path(__file__).parents[3] / 'tools/dataset_converters/convert.py'


def cifar10(folder: Path) -> np.ndarray:
    """Batches of two images each; returns the pixels of the first, (32, 32, 3) RGB."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    names = ['airplane', 'automobile']
    (folder / 'batches.meta').write_bytes(
        pickle.dumps({b'label_names': [n.encode() for n in names]})
    )
    first = None
    for batch in [*(f'data_batch_{i}' for i in range(1, 6)), 'test_batch']:
        data = rng.integers(0, 256, (2, 3072), dtype=np.uint8)
        first = data[0] if first is None else first
        (folder / batch).write_bytes(pickle.dumps({b'data': data, b'labels': [1, 0]}))
    # CIFAR-10: 1024 red values, then green, then blue, each row by row
    return np.stack([first[:1024], first[1024:2048], first[2048:]], axis=-1).reshape(32, 32, 3)


def test_cifar10(tmp_path: Path) -> None:
    pixels = cifar10(tmp_path / 'in')
    assert convert_cifar10(tmp_path / 'in', tmp_path / 'out') == dict(train=10, test=2)
    assert len(list((tmp_path / 'out/train/airplane').iterdir())) == 5
    written = np.asarray(Image.open(tmp_path / 'out/train/automobile/00000.png'))
    assert np.array_equal(written, pixels)
    with pytest.raises(ConfigError, match='not empty'):
        convert_cifar10(tmp_path / 'in', tmp_path / 'out')


@pytest.mark.parametrize('content', [b'', b'no pickle', pickle.dumps([1]), pickle.dumps(Path('a'))])
def test_cifar10_refuses_other_files(content: bytes, tmp_path: Path) -> None:
    cifar10(tmp_path / 'in')
    (tmp_path / 'in/data_batch_1').write_bytes(content)
    with pytest.raises(ConfigError, match='data_batch_1'):
        convert_cifar10(tmp_path / 'in', tmp_path / 'out')


def nuclei(folder: Path, number: int = 4) -> None:
    """Images of 9 x 7 pixels with two rectangles and an empty mask."""
    for index in range(number):
        root = folder / f'id{index}'
        (root / 'images').mkdir(parents=True)
        (root / 'masks').mkdir()
        Image.new('RGBA', (9, 7), (index, 0, 0, 255)).save(root / f'images/id{index}.png')
        for k, area in enumerate([(1, 2, 4, 5), (5, 0, 9, 7), (0, 0, 0, 0)]):
            mask = np.zeros((7, 9), np.uint8)
            mask[area[1] : area[3], area[0] : area[2]] = 255
            Image.fromarray(mask).save(root / f'masks/{k}.png')


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


def test_nuclei_refuses_a_mask_of_another_size(tmp_path: Path) -> None:
    nuclei(tmp_path / 'in')
    Image.new('L', (3, 3), 255).save(tmp_path / 'in/id0/masks/0.png')
    with pytest.raises(ConfigError, match=r'0\.png'):
        convert_nuclei(tmp_path / 'in', tmp_path / 'out')
    with pytest.raises(ConfigError, match='val_fraction'):
        convert_nuclei(tmp_path / 'in', tmp_path / 'other', 1.5)


def camvid(folder: Path) -> None:
    for split in ('train', 'val', 'test'):
        (folder / split).mkdir(parents=True)
        (folder / f'{split}annot').mkdir()
        Image.new('RGB', (4, 3)).save(folder / split / 'a.png')
        labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
        Image.fromarray(labels).save(folder / f'{split}annot/a.png')


def test_camvid(tmp_path: Path) -> None:
    camvid(tmp_path / 'in')
    counts = convert_camvid(tmp_path / 'in', tmp_path / 'out', val='test')
    assert counts == dict(train=1, val=1)
    labels = np.asarray(Image.open(tmp_path / 'out/annotations/validation/a.png'))
    assert labels.ravel().tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0]
    assert (tmp_path / 'out/images/training/a.jpg').is_file()


def test_camvid_refuses_other_labels(tmp_path: Path) -> None:
    camvid(tmp_path / 'in')
    Image.fromarray(np.full((3, 4), 200, np.uint8)).save(tmp_path / 'in/trainannot/a.png')
    with pytest.raises(ConfigError, match='label map'):
        convert_camvid(tmp_path / 'in', tmp_path / 'out')


def voc(folder: Path) -> None:
    for name in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        (folder / name).mkdir(parents=True)
    for name, split in (('a', 'train'), ('b', 'val')):
        Image.new('RGB', (20, 10)).save(folder / f'JPEGImages/{name}.jpg')
        (folder / f'ImageSets/Main/{split}.txt').write_text(f'{name}\n')
        (folder / f'Annotations/{name}.xml').write_text(
            f'<annotation><filename>{name}.jpg</filename>'
            '<size><width>20</width><height>10</height></size><object><name>RBC</name><bndbox>'
            '<xmin>1</xmin><ymin>2</ymin><xmax>10</xmax><ymax>5</ymax></bndbox></object>'
            '</annotation>'
        )


def test_voc(tmp_path: Path) -> None:
    voc(tmp_path / 'in')
    assert convert_voc(tmp_path / 'in', tmp_path / 'out') == dict(train=1, val=1)
    content = json.loads((tmp_path / 'out/annotations/instances_val2017.json').read_text())
    assert content['annotations'] == [
        dict(
            id=1, image_id=1, category_id=1, bbox=[0, 1, 10, 4], area=40, segmentation=[], iscrowd=0
        )
    ]
    assert content['images'] == [dict(id=1, file_name='b.jpg', width=20, height=10)]
    assert content['categories'] == [dict(id=1, name='RBC')]
    with pytest.raises(ConfigError, match='RBC'):
        convert_voc(tmp_path / 'in', tmp_path / 'other', classes=['WBC'])


def test_voc_names_a_broken_file(tmp_path: Path) -> None:
    voc(tmp_path / 'in')
    (tmp_path / 'in/Annotations/a.xml').write_text('<annotation>')
    with pytest.raises(ConfigError, match=r'a\.xml'):
        convert_voc(tmp_path / 'in', tmp_path / 'out')


def test_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    camvid(tmp_path / 'in')
    monkeypatch.setattr(
        sys, 'argv', ['convert.py', 'camvid', str(tmp_path / 'in'), str(tmp_path / 'out')]
    )
    runpy.run_path(str(TOOL), run_name='__main__')
    assert '1 train, 1 val' in capsys.readouterr().out
