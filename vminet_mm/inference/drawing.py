"""Drawings of predictions, for images of any size and for videos.

Not with the visualizers of mmdet, mmseg and mmpretrain: these cut labels off at the border and
hide small images below them, draw one class of a classifier, and take up to half a second.

Images and pictures are (H, W, 3) BGR uint8, colors BGR from 0 to 255, a row for each object or
class. For the size of a picture see :func:`enlarge`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .fonts import font_for

MIN_LENGTH = 480  # pixels; a smaller image is enlarged by a whole number, to have room for text
OPACITY = 0.45  # of masks and label maps
MIN_FRACTION = 0.002  # of an image's pixels, for a class to be named in it
MAX_NAMED = 30  # objects; of more, each class is named once
BAR_COLOR, TRUE_COLOR = (240, 200, 160), (140, 215, 150)  # BGR

Color = Sequence[float]
Box = tuple[float, float, float, float]  # left, top, right, bottom


def draw_objects(
    image: np.ndarray,
    boxes: np.ndarray,
    masks: np.ndarray | None,
    texts: Sequence[str],
    colors: np.ndarray,
) -> np.ndarray:
    """Draw N objects, the first one on top, and return the picture.

    The boxes (N, 4) are left, top, right, bottom in pixels, the masks (N, H, W) bool. For the texts
    see :func:`object_texts`; an empty one is not written.
    """
    canvas, factor = enlarge(image)
    thickness = _line_width(canvas)
    notes = []
    for k in reversed(range(len(boxes))):
        color = tuple(float(value) for value in colors[k])
        if masks is not None:
            _fill(canvas, _scale_mask(masks[k], factor), color, thickness)
        left, top, right, bottom = (round(float(value) * factor) for value in boxes[k])
        cv2.rectangle(canvas, (left, top), (right - 1, bottom - 1), color, thickness)
        if texts[k]:
            notes.append((texts[k], (left, top), color))
    return _write_labels(canvas, notes[::-1], 'above')


def object_texts(
    labels: np.ndarray, classes: Sequence[str], scores: np.ndarray | None = None
) -> list[str]:
    """Labels of objects: class and score, or less where text would hide the image.

    A single class is not named. Of more than ``MAX_NAMED`` objects each class is named once, at its
    first object, with their number.
    """
    names = [classes[label] if len(classes) > 1 else '' for label in labels]
    if len(names) > MAX_NAMED:
        counts, first = Counter(names), {name: names.index(name) for name in set(names) - {''}}
        return [
            f'{name} x {counts[name]}' if first.get(name) == k else ''
            for k, name in enumerate(names)
        ]
    if scores is None:
        return names
    return [f'{name} {score:.2f}'.lstrip() for name, score in zip(names, scores, strict=True)]


def draw_label_map(
    image: np.ndarray, label_map: np.ndarray, names: Sequence[str], colors: np.ndarray
) -> np.ndarray:
    """Paint a label map (H, W) over its image, each class named once, in its largest part.

    Labels that are no index of a name are not painted.
    """
    canvas, factor = enlarge(image)
    present, counts = np.unique(label_map[label_map < len(names)], return_counts=True)
    notes = []
    for label, count in zip(present, counts, strict=True):
        mask = label_map == label
        color = tuple(float(value) for value in colors[label])
        _fill(canvas, _scale_mask(mask, factor), color)
        if count >= MIN_FRACTION * label_map.size:
            x, y = _innermost(mask)
            notes.append((names[label], ((x + 0.5) * factor, (y + 0.5) * factor), color))
    return _write_labels(canvas, notes, 'on')


def draw_scores(
    image: np.ndarray, names: Sequence[str], scores: Sequence[float], is_true: Sequence[bool] = ()
) -> np.ndarray:
    """Put a table of classes, the best first, with bars for their scores below an image.

    The bars of the image's own classes, if they are known, are green.
    """
    canvas, _ = enlarge(image)
    width = max(canvas.shape[1], MIN_LENGTH // 2)
    row = round(1.5 * _font_size(canvas))
    table = np.full((row * len(names) + row // 2, width, 3), 255, np.uint8)
    picture = Image.fromarray(table)
    pen = ImageDraw.Draw(picture)
    for k, (name, score) in enumerate(zip(names, scores, strict=True)):
        font = font_for(name, _font_size(canvas))
        top = row // 4 + k * row
        end = round(float(np.clip(score, 0, 1)) * (width - 1))
        fill = TRUE_COLOR if k < len(is_true) and is_true[k] else BAR_COLOR
        pen.rectangle((0, top, end, top + row - 3), fill=fill)
        middle, column = top + row / 2 - 1, font.getlength('100.0%') + 4
        pen.text((column, middle), f'{score:.1%}', font=font, fill=(0, 0, 0), anchor='rm')
        text = _shorten(name, font, width - column - row)
        pen.text((column + row // 2, middle), text, font=font, fill=(0, 0, 0), anchor='lm')
    side = ((0, 0), (0, width - canvas.shape[1]), (0, 0))
    return np.concatenate((np.pad(canvas, side, constant_values=255), np.asarray(picture)))


def enlarge(image: np.ndarray) -> tuple[np.ndarray, int]:
    """A copy whose longer side has some ``MIN_LENGTH`` pixels, and the number it is enlarged by."""
    factor = max(1, round(MIN_LENGTH / max(image.shape[:2])))
    if factor == 1:
        return image.copy(), 1
    height, width = image.shape[:2]
    size = (width * factor, height * factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), factor


def _scale_mask(mask: np.ndarray, factor: int) -> np.ndarray:
    """A mask of the enlarged image, (H, W) bool."""
    return mask if factor == 1 else mask.repeat(factor, 0).repeat(factor, 1)


def _fill(canvas: np.ndarray, mask: np.ndarray, color: Color, outline: int = 0) -> None:
    """Blend a color into a masked part of a picture, in position, and outline it."""
    area = mask.view(np.uint8)
    left, top, width, height = cv2.boundingRect(area)
    part = canvas[top : top + height, left : left + width]
    inside = mask[top : top + height, left : left + width]
    part[inside] = (1 - OPACITY) * part[inside] + OPACITY * np.asarray(color)
    if outline:
        contours, _ = cv2.findContours(area, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, contours, -1, color, outline)


def _innermost(mask: np.ndarray) -> tuple[int, int]:
    """The pixel (x, y) of a mask that is farthest from its border."""
    distance = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 3)
    y, x = np.unravel_index(distance.argmax(), distance.shape)
    return int(x) - 1, int(y) - 1


def _write_labels(
    canvas: np.ndarray, notes: Iterable[tuple[str, tuple[float, float], Color]], position: str
) -> np.ndarray:
    """Write labels on boxes of their colors, moved so far that they are inside the picture.

    Args:
        canvas: (H, W, 3) uint8.
        notes: Text, point (x, y) and color of each; the first one has the first choice.
        position: ``'above'`` the point, or below it where there is no room, or ``'on'`` it.
    """
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    taken: list[Box] = []
    for text, (x, y), color in notes:
        font = font_for(text, _font_size(canvas))
        text = _shorten(text, font, picture.width - 4)
        width, height = font.getlength(text) + 4, sum(font.getmetrics()) + 1
        if position == 'on':
            x, tops = x - width / 2, [y + step * height for step in (-0.5, 0.5, -1.5)]
        else:
            tops = [y + step * height for step in range(-1 if y >= height else 0, 4)]
        x = min(max(x, 0), max(picture.width - width, 0))
        y = _free_top(x, tops, (width, height), taken, picture.height)
        taken.append((x, y, x + width, y + height))
        fill = tuple(int(value) for value in color)
        pen.rectangle((x, y, x + width - 1, y + height - 1), fill=fill)
        is_bright = np.dot(color, (0.114, 0.587, 0.299)) > 128
        ink = (0, 0, 0) if is_bright else (255, 255, 255)
        pen.text((x + 2, y + height / 2), text, font=font, fill=ink, anchor='lm')
    return np.array(picture)


def _free_top(
    x: float, tops: Sequence[float], size: tuple[float, float], taken: Sequence[Box], bottom: int
) -> float:
    """The first of some positions for a label where no other is, or the first one of all."""
    width, height = size
    tops = [min(max(top, 0), max(bottom - height, 0)) for top in tops]
    for top in tops:
        if not any(
            x < right and left < x + width and top < lower and upper < top + height
            for left, upper, right, lower in taken
        ):
            return top
    return tops[0]


def _shorten(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """A text that is no wider than ``width`` pixels, cut where it must be."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f'{text}…') > width:
        text = text[:-1]
    return f'{text}…'


def _font_size(canvas: np.ndarray) -> int:
    return int(np.clip(0.022 * max(canvas.shape[:2]), 11, 40))


def _line_width(canvas: np.ndarray) -> int:
    return max(1, round(max(canvas.shape[:2]) / 400))
