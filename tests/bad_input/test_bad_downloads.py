"""Downloads that the converters refuse: one line that names the file, and nothing is left."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import downloads
import numpy as np
import pytest
from downloads import box, python2_pickle, xml
from PIL import Image

from vminet_mm.datasets import converters
from vminet_mm.errors import ConfigError


def gray(path: Path, size: tuple[int, int], value: int = 255) -> None:
    """Write a picture of one value."""
    Image.new('L', size, value).save(path)


def batch(**changes: object) -> Callable[[Path], object]:
    """Function that writes the second batch of CIFAR-10 with other content."""
    content = dict(data=np.zeros((2, 3072), np.uint8), labels=[0, 1]) | changes
    return lambda source: (source / 'data_batch_2').write_bytes(python2_pickle(content))


def truncated(name: str) -> Callable[[Path], object]:
    """Function that takes the second half of a file away."""
    return lambda source: (source / name).write_bytes(
        (source / name).read_bytes()[: (source / name).stat().st_size // 2]
    )


def without(name: str) -> Callable[[Path], object]:
    """Function that removes a file or folder."""

    def remove(source: Path) -> None:
        path = source / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def annotation(objects: str, **about: object) -> Callable[[Path], object]:
    """Function that writes the annotations of VOC's first image."""
    return lambda source: (source / 'Annotations/a.xml').write_text(xml(objects, **about))


def in_colors(source: Path) -> None:
    """CamVid as it was first published."""
    for name in ('train', 'val', 'test'):
        (source / f'{name}annot').rename(source / f'{name}_labels')


def inside(source: Path) -> None:
    """A folder that is the download's only by one of its folders."""
    source.rename(source.parent / 'moved')
    source.mkdir()
    (source.parent / 'moved').rename(source / 'cifar-10-batches-py')


def as_file(source: Path) -> None:
    """The archive in place of its folder."""
    shutil.rmtree(source)
    source.write_bytes(b'\x1f\x8b')


def cifar100(source: Path) -> None:
    """The files of CIFAR-100."""
    for path in source.iterdir():
        path.unlink()
    for name in ('meta', 'train', 'test'):
        (source / name).write_bytes(b'')


def numbered(source: Path) -> None:
    """One file for all nuclei of an image."""
    values = np.zeros((7, 9), np.uint8)
    values[1, 1:4] = [1, 2, 3]
    Image.fromarray(values).save(source / 'id2/masks/0.png')


def without_masks(source: Path) -> None:
    """What stage1_test is."""
    for path in source.glob('*/masks'):
        shutil.rmtree(path)


# what is wrong, for each download: how to make it, and what is said
DOWNLOADS = {
    'cifar10': {
        'archive instead of a folder': (as_file, 'is a file: unpack cifar-10-python.tar.gz'),
        'folder around the download': (inside, 'give {source}/cifar-10-batches-py'),
        'CIFAR-100': (cifar100, 'is CIFAR-100: get the python version of CIFAR-10'),
        'batch that is missing': (without('data_batch_4'), 'data_batch_4 is missing: unpack'),
        'truncated batch': (truncated('data_batch_2'), 'data_batch_2 is not a batch'),
        'empty batch': (
            lambda s: (s / 'data_batch_2').write_bytes(b''),
            'data_batch_2 is not a batch of the python version of CIFAR-10 (EOFError',
        ),
        'batch that calls a function': (
            lambda s: (s / 'test_batch').write_bytes(pickle.dumps({'data': Path('a')})),
            'PosixPath is not part of an array',
        ),
        'batch of numpy objects': (
            batch(data=np.array([['a']], object)),
            'data_batch_2 is not a batch',
        ),
        'batch of CIFAR-100': (batch(fine_labels=[0, 1]), 'data_batch_2 is of CIFAR-100'),
        'batch without labels': (batch(labels=None), 'it has no data with labels'),
        'batch of larger images': (
            batch(data=np.zeros((2, 12288), np.uint8)),
            '(2, 12288) uint8 for 2 labels',
        ),
        'label without a name': (batch(labels=[0, 2]), 'its labels are not 0 to 1'),
        'names that are no names': (
            lambda s: (s / 'batches.meta').write_bytes(python2_pickle({'label_names': ['../a']})),
            'batches.meta is not a batch',
        ),
    },
    'nuclei': {
        'stage1_test': (without_masks, 'holds no ID/masks/*.png, as stage1_test does'),
        'image without a folder of masks': (without('id3/masks'), 'id3 has no folder masks'),
        'folder without an image': (without('id3/images/id3.png'), 'images holds 0 images'),
        'two images in a folder': (
            lambda s: gray(s / 'id3/images/other.png', (9, 7)),
            'images holds 2 images',
        ),
        'mask of another size': (
            lambda s: gray(s / 'id0/masks/0.png', (7, 9)),
            'id0/masks/0.png is (9, 7), its image (7, 9)',
        ),
        'mask of numbered nuclei': (numbered, 'id2/masks/0.png holds 3 numbered nuclei'),
        'truncated mask': (truncated('id1/masks/1.png'), 'id1/masks/1.png: it is'),
        'truncated image of nuclei': (truncated('id1/images/id1.png'), 'images/id1.png: it is'),
        'one image alone': (
            lambda s: [without(f'id{k}')(s) for k in (1, 2, 3)],
            '1 image cannot be split',
        ),
    },
    'camvid': {
        'CamVid with labels in colors': (in_colors, 'is CamVid with labels in colors'),
        'label map in color': (
            lambda s: Image.new('RGB', (4, 3)).save(s / 'valannot/a.png'),
            'valannot/a.png is in colors',
        ),
        'label beyond the last class': (
            lambda s: gray(s / 'trainannot/a.png', (4, 3), 200),
            'trainannot/a.png is not a label map of 11 classes',
        ),
        'label map of another shape': (
            lambda s: gray(s / 'trainannot/a.png', (3, 4), 1),
            'trainannot/a.png is (4, 3), its image (3, 4)',
        ),
        'image without its label map': (without('trainannot/a.png'), 'trainannot has no a as'),
        'label map without its image': (
            lambda s: gray(s / 'valannot/b.png', (4, 3), 1),
            'val has no b as',
        ),
        'two images of one name': (
            lambda s: gray(s / 'train/a.jpg', (4, 3)),
            'are both of one name',
        ),
        'split without images': (
            lambda s: [without(name)(s) for name in ('val/a.png', 'valannot/a.png')],
            'val holds no images',
        ),
        'split that is missing': (without('val'), 'val: unpack'),
    },
    'voc': {
        'no lists of images': (without('ImageSets'), '--val-fraction 0.15'),
        'list of no image': (
            lambda s: (s / 'ImageSets/Main/val.txt').write_text('\n'),
            'val.txt lists no image',
        ),
        'listed name with a suffix': (
            lambda s: (s / 'ImageSets/Main/val.txt').write_text('b.jpg'),
            "names 'b.jpg', but there is no",
        ),
        'image in both lists': (
            lambda s: (s / 'ImageSets/Main/val.txt').write_text('b\na\n'),
            'both list a',
        ),
        'broken XML': (truncated('Annotations/a.xml'), 'a.xml cannot be read'),
        'annotations without their image': (without('JPEGImages/a.jpg'), 'no a.jpg'),
        'annotations of one image': (
            lambda s: (
                (without('JPEGImages/b.jpg')(s), annotation('', filename='a.jpg')(s))
                and (s / 'Annotations/b.xml').write_text(xml(box(1, 1, 2, 2), 'a.jpg'))
            ),
            'are both of a.jpg',
        ),
        'truncated image of boxes': (truncated('JPEGImages/b.jpg'), 'b.jpg: it is truncated'),
        'annotations of another size': (
            annotation(box(1, 1, 2, 2), size=(10, 20)),
            'a.xml is for 10 x 20 pixels, but a.jpg is read as 20 x 10',
        ),
        'right before left': (annotation(box(9, 1, 2, 2)), 'xmin 9, ymin 1, xmax 2, ymax 2'),
        'side that is no number': (annotation(box('a', 1, 2, 2)), 'a.xml has a box that is none'),
        'side of NaN': (annotation(box(1, 'nan', 2, 2)), 'a.xml has a box that is none'),
        'object without a box': (
            annotation('<object><name>RBC</name></object>'),
            'a.xml has a box that is none (xmin None',
        ),
        'box beyond the image': (annotation(box(21, 1, 22, 2)), 'a box outside of its image'),
        'object without a name': (annotation(box(1, 1, 2, 2, name='')), 'without a name'),
    },
}
CASES = [case for cases in DOWNLOADS.values() for case in cases]
each = pytest.mark.parametrize(
    ('name', 'case'), [(name, case) for name, cases in DOWNLOADS.items() for case in cases]
)


@each
def test_the_converter_refuses(name: str, case: str, tmp_path: Path) -> None:
    damage, text = DOWNLOADS[name][case]
    source, target = tmp_path / 'in', tmp_path / 'out'
    getattr(downloads, name)(source)
    damage(source)
    with pytest.raises(ConfigError) as caught:
        getattr(converters, f'convert_{name}')(source, target)
    assert text.format(source=source) in str(caught.value)
    assert '\n' not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ['in']


@pytest.mark.parametrize('name', DOWNLOADS)
def test_nothing_is_overwritten(name: str, tmp_path: Path) -> None:
    source, target = tmp_path / 'in', tmp_path / 'out'
    getattr(downloads, name)(source)
    convert = getattr(converters, f'convert_{name}')
    with pytest.raises(ConfigError, match='not empty'):
        convert(source, source)
    convert(source, target)
    before = {path: path.stat().st_mtime_ns for path in target.rglob('*')}
    with pytest.raises(ConfigError, match='not empty'):
        convert(source, target)
    assert {path: path.stat().st_mtime_ns for path in target.rglob('*')} == before
    (tmp_path / 'file').write_text('')
    with pytest.raises(ConfigError, match='cannot be made'):
        convert(source, tmp_path / 'file')
    with pytest.raises(ConfigError, match='there is no folder'):
        convert(tmp_path / 'absent', tmp_path / 'new')


def test_an_interrupted_conversion_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads.camvid(tmp_path / 'in')
    stop = Mock(side_effect=[np.zeros((3, 4, 3), np.uint8), KeyboardInterrupt])
    monkeypatch.setattr(converters.camvid, 'read_rgb', stop)
    with pytest.raises(KeyboardInterrupt):
        converters.convert_camvid(tmp_path / 'in', tmp_path / 'out')
    assert stop.call_count == 2 and not (tmp_path / 'out').exists()


def test_an_empty_folder_stays_empty(tmp_path: Path) -> None:
    downloads.camvid(tmp_path / 'in')
    truncated('val/a.png')(tmp_path / 'in')
    (tmp_path / 'out').mkdir()
    with pytest.raises(ConfigError, match=r'val/a\.png'):
        converters.convert_camvid(tmp_path / 'in', tmp_path / 'out')
    assert list((tmp_path / 'out').iterdir()) == []


def test_classes_that_do_not_fit(tmp_path: Path) -> None:
    downloads.voc(tmp_path / 'in')
    for classes, text in ((['WBC'], 'RBC: not in the list'), (['RBC', 'RBC'], 'twice')):
        with pytest.raises(ConfigError, match=text):
            converters.convert_voc(tmp_path / 'in', tmp_path / 'out', classes=classes)
    for name in 'ab':
        (tmp_path / f'in/Annotations/{name}.xml').write_text(xml(filename=f'{name}.jpg'))
    with pytest.raises(ConfigError, match='nothing to learn'):
        converters.convert_voc(tmp_path / 'in', tmp_path / 'out')


@pytest.mark.parametrize('name', ['nuclei', 'voc'])
def test_a_fraction_that_is_none(name: str, tmp_path: Path) -> None:
    getattr(downloads, name)(tmp_path / 'in')
    for fraction in (0, 1, 1.5, float('nan')):
        with pytest.raises(ConfigError, match='val_fraction'):
            getattr(converters, f'convert_{name}')(
                tmp_path / 'in', tmp_path / 'out', val_fraction=fraction
            )
