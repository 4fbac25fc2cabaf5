"""Label maps from which nothing can be learned, or which are not what they seem."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from checking import CONFIGS, OPTIONS, ROOT, check
from PIL import Image

from vminet_mm.datasets.checks import label_maps, require_sound_lists
from vminet_mm.engine import load_config
from vminet_mm.errors import ConfigError

KEEP_ZERO = {
    'train_dataloader__dataset__reduce_zero_label': False,
    'train_dataloader__dataset__pipeline__1__reduce_zero_label': False,
}
TWO = KEEP_ZERO | {
    'train_dataloader__dataset__metainfo__classes': ['background', 'thing'],
    'model__decode_head__num_classes': 2,
    'model__auxiliary_head__num_classes': 2,
}


@pytest.fixture
def ade(mini_root: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(mini_root / 'ade', tmp_path / 'ade'))


def rewrite(root: Path, write: Callable[[Path, np.ndarray], None]) -> None:
    """Write the label maps anew from their things, False and True."""
    for path in root.glob('annotations/*/*.png'):
        write(path, cv2.imread(str(path), cv2.IMREAD_UNCHANGED) > 1)


def quick(root: Path, **options) -> None:
    dotted = {key.replace('__', '.'): value for key, value in options.items()}
    cfg = load_config(ROOT / CONFIGS['ade'], OPTIONS['ade'] | dotted, str(root))
    require_sound_lists(cfg, ('train',))


def test_masks_of_0_and_255(ade: Path) -> None:
    rewrite(ade, lambda path, thing: cv2.imwrite(str(path), thing.astype(np.uint8) * 255))
    assert any('every pixel' in problem for problem in check(ade, ('train',)).problems)
    report = check(ade, ('train',), **KEEP_ZERO)
    assert any('of one class' in problem for problem in report.problems)


@pytest.mark.parametrize(
    ('kind', 'word'),
    [('RGB', 'is RGB'), ('1', 'is 1'), ('P', 'of one class'), ('LA', 'is LA')],
)
def test_masks_of_0_and_255_in_other_files(kind: str, word: str, ade: Path) -> None:
    """As pictures of several channels, of one bit, and by the indices of a palette."""
    rewrite(
        ade, lambda path, thing: Image.fromarray(np.uint8(thing) * 255).convert(kind).save(path)
    )
    report = check(ade, ('train',), 4, **TWO)
    assert any(word in problem for problem in report.problems)
    failing = [problem for problem in report.problems if 'the pipeline fails' in problem]
    assert len(failing) == (kind != 'P')  # one line for all images
    with pytest.raises(ConfigError, match=word):
        quick(ade, **TWO)


def test_colors_of_a_palette_do_not_matter(ade: Path) -> None:
    def write(path: Path, thing: np.ndarray) -> None:
        image = Image.fromarray(np.uint8(thing)).convert('P')
        image.putpalette([0, 0, 0, 255, 255, 255])
        image.save(path)

    rewrite(ade, write)
    report = check(ade, ('train',), 4, **TWO)
    assert report.problems == [] and quick(ade, **TWO) is None


def test_masks_saved_as_jpeg(ade: Path) -> None:
    """All values that are out of range stand in one line, with the reason."""

    def write(path: Path, thing: np.ndarray) -> None:
        Image.fromarray(np.uint8(thing) * 200).save(path.with_suffix('.jpg'), quality=50)
        path.unlink()

    rewrite(ade, write)
    report = check(ade, ('train',), 1, train_dataloader__dataset__seg_map_suffix='.jpg', **TWO)
    (problem,) = (one for one in report.problems if 'out of range in' in one)
    assert 'labels 2, 3' in problem and 'JPEG changes their values' in problem


@pytest.mark.parametrize('is_map_turned', [True, False])
def test_image_turned_by_exif(is_map_turned: bool, ade: Path) -> None:
    """A label map has the size of the image as it is loaded."""
    for path in ade.glob('images/training/*.jpg'):
        image = Image.open(path)
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(path, exif=exif)
    if is_map_turned:
        for path in ade.glob('annotations/training/*.png'):
            labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            cv2.imwrite(str(path), np.rot90(labels, -1))
        assert check(ade, ('train',), 4).problems == []
    else:
        assert 'EXIF' in check(ade, ('train',), 1).problems[0]


def test_rare_things_do_not_stop_a_training(ade: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The few maps that are looked at before a training may show the background alone."""
    paths = sorted(ade.glob('annotations/training/*.png'))
    for path in paths:
        labels = np.zeros_like(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        labels[:2] = path == paths[-1]
        cv2.imwrite(str(path), labels)
    monkeypatch.setattr(label_maps, 'QUICK_LABEL_MAPS', 2)
    assert quick(ade, **TWO) is None  # more are read, up to the last
    monkeypatch.setattr(label_maps, 'MAX_LABEL_MAPS', 2)
    assert quick(ade, **TWO) is None
    report = check(ade, ('train',), 2, **TWO)
    assert report.problems == [] and 'of one class in 2 of 16' in report.notes[0]


def test_suffixes_that_are_not_read(ade: Path) -> None:
    paths = sorted(ade.glob('images/training/*.jpg'))
    paths[0].rename(paths[0].with_suffix('.jpeg'))
    assert '(1 .jpeg)' in check(ade, ('train',), 1).notes[0]
    for path in paths[1:]:
        path.rename(path.with_suffix('.JPG'))
    (problem,) = check(ade, ('train',), 1).problems
    assert 'but 15 .JPG, 1 .jpeg' in problem and 'img_suffix=.JPG' in problem
    assert check(ade, ('train',), 1, train_dataloader__dataset__img_suffix='.JPG').problems == []


@pytest.mark.parametrize(
    ('write', 'word'),
    [
        (lambda names: '\ufeff' + '\n'.join(names), 'byte-order mark'),
        (lambda names: '\r\n'.join([*names, '', '']), 'blank lines'),
        (lambda names: '\n'.join(f'{name}.jpg' for name in names), 'which the reader adds'),
        (lambda names: '\n'.join(f'.\\{name}' for name in names), 'backslash'),
    ],
)
def test_list_written_otherwise(write: Callable, word: str, ade: Path) -> None:
    names = sorted(path.stem for path in ade.glob('images/training/*.jpg'))
    (ade / 'train.txt').write_text(write(names), 'utf-8')
    listed = {'train_dataloader__dataset__ann_file': 'train.txt'}
    assert any(word in problem for problem in check(ade, ('train',), 1, **listed).problems)
    with pytest.raises(ConfigError, match=word):
        quick(ade, **listed)


def test_label_map_that_is_missing_is_found_before_a_training(ade: Path) -> None:
    next(ade.glob('annotations/training/*.png')).unlink()
    with pytest.raises(ConfigError, match='1 of 16 images have no label map'):
        quick(ade)


def test_label_maps_of_other_names(ade: Path) -> None:
    for path in ade.glob('annotations/training/*.png'):
        path.rename(path.with_name(f'{path.stem}_labelIds.png'))
    with pytest.raises(ConfigError, match='seg_map_suffix=_labelIds.png'):
        quick(ade)
    quick(ade, train_dataloader__dataset__seg_map_suffix='_labelIds.png')


def test_no_image_is_named_before_a_training(ade: Path) -> None:
    for path in ade.glob('images/training/*.jpg'):
        path.rename(path.with_suffix('.JPG'))
    with pytest.raises(ConfigError, match='img_suffix=.JPG'):
        quick(ade)
    (ade / 'train.txt').write_text('')
    with pytest.raises(ConfigError, match='train.txt lists no image'):
        quick(ade, train_dataloader__dataset__ann_file='train.txt')


def test_label_map_of_one_row(ade: Path) -> None:
    path = min(ade.glob('annotations/training/*.png'))
    cv2.imwrite(str(path), np.ones((1, 9), np.uint8))
    with pytest.raises(ConfigError, match=f'{path.name} has a single row or column'):
        quick(ade)
