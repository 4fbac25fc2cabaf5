"""Writers of one split of scenes in the layouts of COCO, ADE20K and ImageNet.

Each writer takes the scenes one by one with ``add`` and ends with ``finish``. What a scene adds
depends on the scenes before it and never on how many follow.
"""

import json
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from ..tasks import CLASSIFICATION, DETECTION, SEGMENTATION
from .shapes import CLASSES, SEG_CLASSES, Scene

JPEG_QUALITY = 95
CROP_MIN_VISIBLE = 0.75  # of the object's own area
_CROP_CONTEXT = (1.15, 1.6)  # window's side over the longer side of the object's box
_CROP_MIN_SHARE = 2.0  # the object's pixels in the window over those of any other
_CROP_MAX_LEAD = 3  # images by which a class may lead the rarest one


def encode(extension: str, image: np.ndarray) -> bytes:
    """Compress an image, (H, W, 3) RGB or (H, W) gray, both uint8, to a file's bytes."""
    if image.ndim == 3:
        image = np.ascontiguousarray(image[..., ::-1])
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if extension == '.jpg' else []
    done, data = cv2.imencode(extension, image, options)
    if not done:
        raise RuntimeError(f'OpenCV could not encode a {image.shape} image as {extension}')
    return data.tobytes()


def file_stem(index: int) -> str:
    """File name without suffix of scene ``index`` (from 0), the same in all three sets."""
    return f'{index + 1:012d}'


def annotation(mask: np.ndarray, label: int) -> dict:
    """COCO annotation of a visible mask (H, W) bool of a class, less its ids.

    The segmentation is run-length coded, which keeps every pixel where polygons would not, with
    ``counts`` as text, the form that both pycocotools and mmdet (``poly2mask=True``, the default)
    read for single objects. The category's id is the label and one.
    """
    code = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {
        'category_id': int(label) + 1,
        'bbox': coco_mask.toBbox(code).tolist(),
        'area': int(coco_mask.area(code)),
        'iscrowd': 0,
        'segmentation': {'size': list(mask.shape), 'counts': code['counts'].decode('ascii')},
    }


class CocoWriter:
    """A split in the layout of COCO, in its folder of the built-in data.

    Args:
        root (Path): Folder of the built-in data.
        split (str): ``'train'`` or ``'val'``.
    """

    def __init__(self, root: Path, split: str) -> None:
        layout = DETECTION.layout
        self.images_dir, self.path = layout.folders(root / layout.mini, split)
        self.images: list[dict] = []
        self.annotations: list[dict] = []
        self.images_dir.mkdir(parents=True)
        self.path.parent.mkdir(exist_ok=True)

    def add(self, index: int, scene: Scene, jpeg: bytes) -> None:
        """Write scene ``index``, whose compressed image is ``jpeg``."""
        height, width = scene.image.shape[:2]
        name = f'{file_stem(index)}.jpg'
        (self.images_dir / name).write_bytes(jpeg)
        image_id = index + 1
        self.images.append({'id': image_id, 'file_name': name, 'height': height, 'width': width})
        for mask, label in zip(scene.masks, scene.labels, strict=True):
            # Ids from 1: COCOeval takes a match with id 0 for no match.
            ids = {'id': len(self.annotations) + 1, 'image_id': image_id}
            self.annotations.append(ids | annotation(mask, label))

    def finish(self) -> dict[str, int]:
        """Write the JSON file; returns the number of objects of each class."""
        categories = [
            {'id': k + 1, 'name': name, 'supercategory': 'shape'} for k, name in enumerate(CLASSES)
        ]
        content = {
            'images': self.images,
            'annotations': self.annotations,
            'categories': categories,
        }
        self.path.write_text(json.dumps(content), encoding='utf-8')
        labels = [entry['category_id'] - 1 for entry in self.annotations]
        return {name: labels.count(k) for k, name in enumerate(CLASSES)}


class AdeWriter:
    """A split in the layout of ADE20K, in its folder of the built-in data.

    Args:
        root (Path): Folder of the built-in data.
        split (str): ``'train'`` or ``'val'``.
    """

    def __init__(self, root: Path, split: str) -> None:
        layout = SEGMENTATION.layout
        self.images_dir, self.labels_dir = layout.folders(root / layout.mini, split)
        self.pixels = np.zeros(len(SEG_CLASSES), dtype=np.int64)
        self.images_dir.mkdir(parents=True)
        self.labels_dir.mkdir(parents=True)

    def add(self, index: int, scene: Scene, jpeg: bytes) -> None:
        """Write scene ``index``, whose compressed image is ``jpeg``."""
        label_map = scene.segmentation()
        (self.images_dir / f'{file_stem(index)}.jpg').write_bytes(jpeg)
        (self.labels_dir / f'{file_stem(index)}.png').write_bytes(encode('.png', label_map))
        self.pixels += np.bincount(label_map.ravel(), minlength=len(SEG_CLASSES) + 1)[1:]

    def finish(self) -> dict[str, int]:
        """Returns the number of pixels of each class."""
        return dict(zip(SEG_CLASSES, self.pixels.tolist(), strict=True))


def crop_windows(rng: np.random.Generator, scene: Scene) -> list[tuple[int, int, int, int]]:
    """Square windows which show one object each, whole, with some context.

    An object gets no window if much of it is hidden, or if in every window another one is nearly
    as prominent.

    Returns:
        list[tuple[int, int, int, int]]: (object, left, top, side); the last three in pixels, the
        window inside the image.
    """
    height, width = scene.image.shape[:2]
    windows = []
    for k, mask in enumerate(scene.masks):
        context, shift_x, shift_y = rng.uniform(_CROP_CONTEXT[0], _CROP_CONTEXT[1]), *rng.random(2)
        if scene.visible[k] < CROP_MIN_VISIBLE:
            continue
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        tall, wide = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
        side = min(round(context * max(tall, wide)), height, width)
        # Any location that keeps the whole box inside the window and the window inside the image.
        left = _between(shift_x, columns[-1] + 1 - side, columns[0], width - side)
        top = _between(shift_y, rows[-1] + 1 - side, rows[0], height - side)
        inside = scene.masks[:, top : top + side, left : left + side].sum(axis=(1, 2))
        if all(inside[k] >= _CROP_MIN_SHARE * n for j, n in enumerate(inside) if j != k):
            windows.append((k, left, top, side))
    return windows


def _between(fraction: float, low: int, high: int, limit: int) -> int:
    """Point at a fraction of the way from low to high, both first clipped to [0, limit]."""
    low, high = np.clip([low, high], 0, limit)
    return round(low + fraction * (high - low))


class ImageNetWriter:
    """``{split}/<class>/*.jpg``, square crops of a fixed size around single objects.

    Args:
        root (Path): Folder of the built-in data.
        split (str): ``'train'`` or ``'val'``.
        crop_size (int): Edge of a crop in pixels.
    """

    def __init__(self, root: Path, split: str, crop_size: int) -> None:
        layout = CLASSIFICATION.layout
        images_dir, _ = layout.folders(root / layout.mini, split)
        self.folders = [images_dir / name for name in CLASSES]
        self.crop_size = crop_size
        self.counts = [0] * len(CLASSES)
        for folder in self.folders:
            folder.mkdir(parents=True)

    def add(self, index: int, scene: Scene, rng: np.random.Generator) -> None:
        """Write the crops of scene ``index``, their windows drawn from ``rng``."""
        for k, left, top, side in crop_windows(rng, scene):
            label = int(scene.labels[k])
            # Balanced as it goes, and not by a cut at the end, which would let later scenes
            # decide on the crops of earlier ones.
            if self.counts[label] >= min(self.counts) + _CROP_MAX_LEAD:
                continue
            self.counts[label] += 1
            window = scene.image[top : top + side, left : left + side]
            shrinks = side > self.crop_size
            crop = cv2.resize(
                window,
                (self.crop_size, self.crop_size),
                interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC,
            )
            path = self.folders[label] / f'{file_stem(index)}_{k}.jpg'
            path.write_bytes(encode('.jpg', crop))

    def finish(self) -> dict[str, int]:
        """Returns the number of crops of each class."""
        return dict(zip(CLASSES, self.counts, strict=True))
