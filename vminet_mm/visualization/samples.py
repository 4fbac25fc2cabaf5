"""A page of samples with their labels, as a pipeline gives them to a model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..inference.colors import class_colors
from ..inference.ground_truth import draw_ground_truth
from .figures import DPI, new_figure, save_figure

CELL_INCHES = 3.2
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
    for axes in figure.subplots(rows, columns, squeeze=False).flat:
        axes.set_axis_off()
    for axes, sample in zip(figure.axes, samples, strict=False):
        axes.imshow(draw_labels(sample, classes, colors)[..., ::-1])
        axes.set_title(_caption(sample, classes), fontsize=7, pad=2)
    return save_figure(figure, path)


def draw_labels(sample: Any, classes: Sequence[str], colors: np.ndarray) -> np.ndarray:
    """The picture of a sample, BGR uint8; one of :func:`save_page`."""
    image = np.clip(sample.image, 0, 255).astype(np.uint8)[..., ::-1]
    scale = CELL_INCHES * DPI * 1.5 / max(image.shape[:2])
    if scale < 1:  # not much larger than its cell
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    image = np.ascontiguousarray(image)
    picture = draw_ground_truth(image, sample.data_sample, classes, colors, sample.label_size)
    return image if picture is None else picture


def _caption(sample: Any, classes: Sequence[str]) -> str:
    """The name of a file, below the class of an image."""
    name = sample.name
    if len(name) > TITLE_LENGTH:
        name = f'...{name[3 - TITLE_LENGTH :]}'
    labels = sample.data_sample.get('gt_label')
    if labels is None:
        return name
    return f'{", ".join(classes[k].split(",")[0] for k in labels.tolist())}\n{name}'
