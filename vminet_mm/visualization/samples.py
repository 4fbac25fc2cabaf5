"""A page of samples with their labels, as a pipeline gives them to a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from ..inference.colors import class_colors
from .figures import DPI, new_figure, save_figure

CELL_INCHES = 3.2
OPACITY = 0.5  # of masks and label maps
MAX_LEGEND = 40  # classes, those with the most pixels
TITLE_LENGTH = 34  # characters


def save_page(
    path: str | Path,
    samples: Sequence[Any],
    classes: Sequence[str],
    palette: Sequence[Sequence[int]] | None = None,
    title: str = '',
) -> Path:
    """Draw samples with their labels into a PNG file.

    Args:
        path: The file; its folder is made.
        samples: Each with ``name``, ``image`` (H, W, 3) RGB uint8, ``data_sample`` of mmdet
            (boxes and masks), mmseg (a label map) or mmpretrain (a class), and ``label_size``, the
            height and width of the image that boxes count in.
        classes: The names of the classes.
        palette: Their colors, RGB from 0 to 255; by default, and where it has another length,
            evenly spread hues.
        title: A line above all.

    Raises:
        ValueError: If there is no sample.
    """
    if not samples:
        raise ValueError('there is no sample to draw')
    colors = class_colors(len(classes), palette)
    columns = int(np.ceil(np.sqrt(len(samples))))
    rows = int(np.ceil(len(samples) / columns))
    aspect = np.median([sample.image.shape[0] / sample.image.shape[1] for sample in samples])
    height = rows * (CELL_INCHES * float(np.clip(aspect, 0.5, 1.5)) + 0.3) + 0.6
    figure = new_figure(columns * CELL_INCHES, height)
    figure.suptitle(title, fontsize=10)
    pixels = np.zeros(len(classes), dtype=np.int64)
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.set_axis_off()
    for axes, sample in zip(figure.axes, samples, strict=False):
        data_sample = sample.data_sample
        if 'gt_instances' in data_sample:
            _draw_objects(axes, sample, classes, colors)
        elif 'gt_sem_seg' in data_sample:
            pixels += _draw_label_map(axes, sample, colors)
        else:
            _draw_class(axes, sample, classes)
    if pixels.any():
        _draw_legend(figure, pixels, classes, colors)
    return save_figure(figure, path)


def _shrink(image: np.ndarray) -> np.ndarray:
    """An image not much larger than its cell."""
    scale = CELL_INCHES * DPI * 1.5 / max(image.shape[:2])
    if scale >= 1:
        return image
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def _resize_labels(labels: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Labels or a mask, (H, W), in the size of an image."""
    height, width = like.shape[:2]
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)


def _show(axes: Axes, image: np.ndarray, title: str) -> None:
    """Show an image, pixel (0, 0) covering [0, 1], as boxes count."""
    height, width = image.shape[:2]
    if len(title) > TITLE_LENGTH:
        title = f'...{title[3 - TITLE_LENGTH :]}'
    axes.imshow(np.clip(image, 0, 255).astype(np.uint8), extent=(0, width, height, 0))
    axes.set_title(title, fontsize=7, pad=2)


def _draw_objects(axes: Axes, sample: Any, classes: Sequence[str], colors: np.ndarray) -> None:
    """Boxes with class names, and masks; what is ignored (crowds) in dashed white."""
    image = _shrink(sample.image)
    height, width = sample.label_size
    scale = np.array([image.shape[1] / width, image.shape[0] / height] * 2)
    canvas = image.astype(np.float32)
    ignored = sample.data_sample.get('ignored_instances')
    groups = [(sample.data_sample.gt_instances, False)]
    if ignored is not None and 'bboxes' in ignored:
        groups.append((ignored, True))
    for instances, is_ignored in groups:
        boxes = instances.bboxes
        boxes = getattr(boxes, 'tensor', boxes).numpy() * scale
        labels = instances.labels.numpy()
        if 'masks' in instances and not is_ignored:
            for mask, label in zip(instances.masks.to_ndarray(), labels, strict=True):
                inside = _resize_labels(mask.astype(np.uint8), image) > 0
                canvas[inside] += OPACITY * (colors[label] - canvas[inside])
        for (left, top, right, bottom), label in zip(boxes, labels, strict=True):
            color = 'white' if is_ignored else tuple(colors[label] / 255)
            frame = Rectangle((left, top), right - left, bottom - top, fill=False, color=color)
            frame.set(linewidth=0.9, linestyle='--' if is_ignored else '-')
            axes.add_patch(frame)
            text = f'{classes[label]} (ignored)' if is_ignored else classes[label]
            # above the box where there is room, inside of it where there is none
            place = 'bottom' if top > 0.04 * image.shape[0] else 'top'
            axes.text(
                left, top, text, fontsize=5, color=_readable_on(color), va=place, clip_on=True,
                bbox=dict(facecolor=color, edgecolor='none', pad=0.6, alpha=0.85),
            )  # fmt: skip
    _show(axes, canvas, sample.name)


def _readable_on(color: str | tuple) -> str:
    """Black or white, whichever stands out from a background color."""
    if color == 'white':
        return 'black'
    brightness = np.dot(color, (0.299, 0.587, 0.114))
    return 'black' if brightness > 0.5 else 'white'


def _draw_label_map(axes: Axes, sample: Any, colors: np.ndarray) -> np.ndarray:
    """Paint a label map over its image; returns the pixels of each class."""
    image = _shrink(sample.image)
    labels = sample.data_sample.gt_sem_seg.data.squeeze(0).numpy()
    if labels.shape != sample.image.shape[:2]:
        # a test pipeline leaves the label map in the size of the file
        labels = _resize_labels(labels.astype(np.uint8), sample.image)
    small = _resize_labels(labels.astype(np.uint8), image)
    canvas = image.astype(np.float32)
    known = small < len(colors)
    canvas[known] += OPACITY * (colors[small[known]] - canvas[known])
    _show(axes, canvas, sample.name)
    return np.bincount(labels[labels < len(colors)].ravel(), minlength=len(colors))


def _draw_legend(
    figure: Figure, pixels: np.ndarray, classes: Sequence[str], colors: np.ndarray
) -> None:
    """The colors of the classes on the page, those with the most pixels first."""
    present = [k for k in np.argsort(-pixels, kind='stable') if pixels[k]]
    handles = [
        Patch(facecolor=tuple(colors[k] / 255), edgecolor='gray', label=str(classes[k]))
        for k in present[:MAX_LEGEND]
    ]
    handles.append(Patch(facecolor='none', edgecolor='gray', label='not painted: ignored'))
    figure.legend(handles=handles, loc='outside lower center', ncols=6, fontsize=7, frameon=False)


def _draw_class(axes: Axes, sample: Any, classes: Sequence[str]) -> None:
    """An image below the name of its class."""
    image = _shrink(sample.image)
    names = [classes[label].split(',')[0] for label in sample.data_sample.gt_label.tolist()]
    _show(axes, image, sample.name)
    axes.set_title(f'{", ".join(names)}\n{axes.get_title()}', fontsize=7, pad=2)
