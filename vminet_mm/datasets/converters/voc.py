"""Boxes in the XML files of PASCAL VOC to the layout of COCO."""

import shutil
from pathlib import Path
from xml.etree import ElementTree

from ...errors import ConfigError
from ...tasks import DETECTION
from .files import new_folder, require_folder, write_coco


def convert_voc(
    source: str | Path, target: str | Path, classes: list[str] | None = None
) -> dict[str, int]:
    """Write the splits train and val; boxes only, VOC's XML files hold no masks of objects.

    VOC counts pixels from 1 and includes the last one: a box from 1 to 10 is 10 pixels wide.

    Args:
        source: The folder with ``JPEGImages/``, ``Annotations/`` and ``ImageSets/Main/``.
        target: The new data root.
        classes: Names in the order of their numbers; by default all that occur, sorted.

    Returns:
        dict[str, int]: The number of images of each split.

    Raises:
        ConfigError: If a file is missing or broken, or an object's class is not listed.
    """
    source = require_folder(Path(source), 'the VOC data set')
    splits = {}
    for split in ('train', 'val'):
        path = source / f'ImageSets/Main/{split}.txt'
        if not path.is_file():
            raise ConfigError(f'{path} is missing: it lists the names of the images, one a line')
        names = [line.split()[0] for line in path.read_text('utf-8').splitlines() if line.strip()]
        splits[split] = {name: _read(source / f'Annotations/{name}.xml') for name in names}
    found = {
        o.findtext('name')
        for trees in splits.values()
        for t in trees.values()
        for o in t.iter('object')
    }
    classes = classes or sorted(found)
    if found - set(classes):
        raise ConfigError(f'{", ".join(sorted(found - set(classes)))}: not in the list of classes')
    target = new_folder(Path(target))
    for split, named in splits.items():
        folder, ann_file = DETECTION.layout.folders(target, split)
        folder.mkdir()
        images, objects = [], []
        for image_id, (name, tree) in enumerate(named.items(), 1):
            file_name = tree.findtext('filename') or f'{name}.jpg'
            picture = source / 'JPEGImages' / file_name
            if not picture.is_file():
                raise ConfigError(f'{picture} is missing: {name}.xml names it')
            shutil.copy(picture, folder / file_name)
            size = {side: int(tree.findtext(f'size/{side}')) for side in ('width', 'height')}
            images.append(dict(id=image_id, file_name=file_name, **size))
            objects += [_object(node, image_id, classes) for node in tree.iter('object')]
        write_coco(ann_file, images, objects, classes)
    return {split: len(named) for split, named in splits.items()}


def _read(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise ConfigError(f'{path} cannot be read ({error})') from error


def _object(node: ElementTree.Element, image_id: int, classes: list[str]) -> dict:
    """The annotation of an object; its segmentation is empty."""
    left, top, right, bottom = (
        float(node.findtext(f'bndbox/{side}')) for side in ('xmin', 'ymin', 'xmax', 'ymax')
    )
    box = [left - 1, top - 1, right - left + 1, bottom - top + 1]
    return dict(
        image_id=image_id,
        category_id=classes.index(node.findtext('name')) + 1,
        bbox=box,
        area=box[2] * box[3],
        segmentation=[],
    )
