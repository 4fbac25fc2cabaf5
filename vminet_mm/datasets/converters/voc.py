"""Boxes in the XML files of PASCAL VOC to the layout of COCO."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree

from tqdm import tqdm

from ...errors import ConfigError
from ...tasks import DETECTION
from .files import (
    image_files,
    image_size,
    new_data_root,
    require_folder,
    split,
    visible,
    write_coco,
)

SPLITS = ('train', 'val')
SIZE = ('width', 'height')
SIDES = ('xmin', 'ymin', 'xmax', 'ymax')


@dataclass(frozen=True)
class Entry:
    """An image with its objects.

    Attributes:
        xml: The annotation file.
        tree: Its content.
        picture: The image file.
    """

    xml: Path
    tree: ElementTree.Element
    picture: Path


def convert_voc(
    source: str | Path,
    target: str | Path,
    classes: Sequence[str] | None = None,
    val_fraction: float | None = None,
    seed: int = 0,
) -> dict[str, int]:
    """Write the splits train and val; boxes only, VOC's XML files hold no masks of objects.

    VOC counts pixels from 1 and includes the last one: a box from 1 to 10 is 10 pixels wide. What
    of a box lies outside the image is cut off. Objects marked as difficult become crowds, which a
    training leaves out and an evaluation neither asks for nor counts as false.

    Args:
        source: The folder with ``JPEGImages/``, ``Annotations/`` and ``ImageSets/Main/``.
        target: The new data root.
        classes: Names in the order of their numbers; by default all that occur, sorted.
        val_fraction: Fraction of all images that become the validation split, in place of the
            splits of ``ImageSets/Main/``.
        seed: Of the choice of these images.

    Returns:
        dict[str, int]: The number of images of each split.

    Raises:
        ConfigError: If a file is missing or broken, an object's class is not listed, or a box is
            none.
    """
    source = require_folder(Path(source), 'the VOC data set')
    for name in ('JPEGImages', 'Annotations'):
        require_folder(source / name, f"the VOC data set's {name}")
    if val_fraction is None:
        names = {side: _listed(source, side) for side in SPLITS}
    else:
        found = [path.stem for path in visible(source / 'Annotations') if path.suffix == '.xml']
        names = split(found, val_fraction, seed)
    splits = _entries(source, names)
    classes = _classes(splits, classes)
    with new_data_root(Path(target)) as root:
        for side, entries in splits.items():
            _write(root, side, entries, classes)
    return {side: len(entries) for side, entries in splits.items()}


def _listed(source: Path, side: str) -> list[str]:
    """The names in the list of a split, each once."""
    path = source / f'ImageSets/Main/{side}.txt'
    if not path.is_file():
        raise ConfigError(
            f'{path} is missing, which lists the names of the images, one a line; without such '
            'lists give --val-fraction 0.15'
        )
    names = []
    for line in filter(None, map(str.strip, path.read_text('utf-8-sig').splitlines())):
        name, _, mark = line.rpartition(' ')  # lists of one class mark images with -1, 0 or 1
        is_marked = mark in ('-1', '0', '1') and not _xml(source, line).is_file()
        names.append(name.strip() if is_marked else line)
        if not _xml(source, names[-1]).is_file():
            raise ConfigError(
                f'{path} names {names[-1]!r}, but there is no {_xml(source, names[-1])}; names '
                'stand there without a suffix'
            )
    if not names:
        raise ConfigError(f'{path} lists no image')
    return list(dict.fromkeys(names))


def _xml(source: Path, name: str) -> Path:
    return source / 'Annotations' / f'{name}.xml'


def _entries(source: Path, names: dict[str, list[str]]) -> dict[str, list[Entry]]:
    """The images of each split, of which no two are the same."""
    twice = sorted(set(names['train']) & set(names['val']))
    if twice:
        raise ConfigError(f'train.txt and val.txt both list {", ".join(twice[:3])}: list it once')
    pictures = image_files(source / 'JPEGImages')
    splits = {
        side: [_entry(_xml(source, name), pictures) for name in listed]
        for side, listed in names.items()
    }
    users: dict[Path, Path] = {}
    for entry in (*splits['train'], *splits['val']):
        other = users.setdefault(entry.picture, entry.xml)
        if other != entry.xml:
            raise ConfigError(f'{other} and {entry.xml.name} are both of {entry.picture.name}')
    return splits


def _entry(xml: Path, pictures: Sequence[Path]) -> Entry:
    """An annotation file with its image: of its own name, else of the name that it tells."""
    try:
        tree = ElementTree.parse(xml).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise ConfigError(f'{xml} cannot be read ({error})') from error
    told = PureWindowsPath((tree.findtext('filename') or '').strip())  # of either kind of path
    found = [path for path in pictures if path.stem == xml.stem]
    found = found or [path for path in pictures if path.stem in (told.name, told.stem)]
    if len(found) > 1:
        found = [path for path in found if path.name == told.name] or found
    if len(found) != 1:
        names = ', '.join(path.name for path in found) or f'no {told.name or xml.stem}'
        raise ConfigError(f'{xml} needs one image of its name; in JPEGImages there is {names}')
    return Entry(xml, tree, found[0])


def _classes(splits: dict[str, list[Entry]], given: Sequence[str] | None) -> list[str]:
    """The classes in the order of their numbers."""
    found = {
        _class(node, entry.xml)
        for entries in splits.values()
        for entry in entries
        for node in entry.tree.iter('object')
    }
    classes = list(given or sorted(found))
    if len(set(classes)) < len(classes):
        raise ConfigError(f'--classes names a class twice: {", ".join(classes)}')
    if not found:
        raise ConfigError('no annotation file holds an object: there is nothing to learn')
    if found - set(classes):
        raise ConfigError(f'{", ".join(sorted(found - set(classes)))}: not in the list of classes')
    return classes


def _class(node: ElementTree.Element, xml: Path) -> str:
    name = (node.findtext('name') or '').strip()
    if not name:
        raise ConfigError(f'{xml} has an object without a name')
    return name


def _write(root: Path, side: str, entries: Sequence[Entry], classes: Sequence[str]) -> None:
    """Write a split."""
    folder, ann_file = DETECTION.layout.folders(root, side)
    folder.mkdir()
    images, objects = [], []
    for image_id, entry in enumerate(tqdm(entries, desc=side, disable=None), 1):
        size = _size(entry)
        shutil.copy(entry.picture, folder / entry.picture.name)
        shape = dict(zip(SIZE, size, strict=True))
        images.append(dict(id=image_id, file_name=entry.picture.name, **shape))
        for node in entry.tree.iter('object'):
            box = _box(node, entry.xml, size)
            objects.append(
                dict(
                    image_id=image_id,
                    category_id=classes.index(_class(node, entry.xml)) + 1,
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=int((node.findtext('difficult') or '').strip() == '1'),
                    segmentation=[],
                )
            )
    write_coco(ann_file, images, objects, classes)


def _size(entry: Entry) -> tuple[int, int]:
    """Width and height of an image as a training reads it."""
    size = image_size(entry.picture)
    told = tuple((entry.tree.findtext(f'size/{side}') or '').strip() for side in SIZE)
    if told not in (('', ''), ('0', '0')) and told != tuple(map(str, size)):
        raise ConfigError(
            f'{entry.xml} is for {" x ".join(told)} pixels, but {entry.picture.name} is read as '
            f'{size[0]} x {size[1]}: correct its size, and the boxes if they are for another image'
        )
    return size


def _box(node: ElementTree.Element, xml: Path, size: tuple[int, int]) -> list[float]:
    """The box (left, top, width, height) of an object, from 0."""
    told = [node.findtext(f'bndbox/{side}') for side in SIDES]
    try:
        left, top, right, bottom = map(float, told)
    except (TypeError, ValueError):
        left = top = right = bottom = math.nan
    if not all(map(math.isfinite, (left, top, right, bottom))) or left > right or top > bottom:
        values = ', '.join(f'{side} {value}' for side, value in zip(SIDES, told, strict=True))
        raise ConfigError(f'{xml} has a box that is none ({values}): correct it')
    left, right = (min(max(edge, 0), size[0]) for edge in (left - 1, right))
    top, bottom = (min(max(edge, 0), size[1]) for edge in (top - 1, bottom))
    if left == right or top == bottom:
        raise ConfigError(
            f'{xml} has a box outside of its image of {size[0]} x {size[1]} pixels '
            f'({", ".join(map(str, told))}): correct it'
        )
    return [left, top, right - left, bottom - top]
