"""Small scenes of five overlapping shapes, drawn from signed distance functions.

A shape is the set of points where its signed distance is at most 0, and its mask is that set on
the pixel centers: exact, with no polygon in between. A class shows in its outline alone: every
class draws its colors, textures, sizes and rotations from the same distributions.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .textures import pick_color, textured_fill

# In alphabetical order: a classification set takes its classes from its sorted folder names, and
# this order makes label k the same shape in all three sets.
CLASSES = ('circle', 'cross', 'ring', 'square', 'triangle')
PALETTE = ((220, 60, 60), (60, 140, 240), (250, 180, 30), (70, 180, 90), (170, 80, 200))

SEG_CLASSES = ('background', *CLASSES)
SEG_PALETTE = ((120, 120, 120), *PALETTE)

MIN_SIDE = 64  # pixels; below, a small shape has too few pixels to show what it is
MIN_OBJECTS, MAX_OBJECTS = 2, 6
MIN_DIAMETER, MAX_DIAMETER = 0.12, 0.60  # of the image's short side
MIN_VISIBLE = 0.4  # of a shape's own area: less, and a square's corner passes for a triangle's
MIN_PIXELS = 16  # visible ones
_MIN_RADIUS = 6.0  # pixels
_PLACE_TRIES = 40

# Proportions, as fractions of the circumscribed radius.
_SQUARE_HALF = 0.5**0.5
_CROSS_RATIO = 0.36  # half the width of an arm to its length
_CROSS_ARM = 1 / (1 + _CROSS_RATIO**2) ** 0.5
_RING_HOLE = 0.55


class Shape(NamedTuple):
    """One shape in the image plane; pixel (row, column) has its center at (y, x) = (row, column).

    Attributes:
        label (int): Index into ``CLASSES``.
        x (float): Center's x in pixels.
        y (float): Center's y in pixels.
        radius (float): Radius of the circumscribed circle in pixels.
        angle (float): Rotation in radians.
    """

    label: int
    x: float
    y: float
    radius: float
    angle: float


@dataclass
class Scene:
    """One drawn scene with its ground truth.

    Attributes:
        image (np.ndarray): (H, W, 3) uint8 RGB.
        masks (np.ndarray): (N, H, W) bool, the visible part of each shape; no two overlap. The
            order is that of drawing, a later shape covers an earlier one.
        labels (np.ndarray): (N,) int64 indices into ``CLASSES``.
        visible (np.ndarray): (N,) float64, visible pixels over the area of the whole shape.
    """

    image: np.ndarray
    masks: np.ndarray
    labels: np.ndarray
    visible: np.ndarray

    def segmentation(self) -> np.ndarray:
        """Label map, (H, W) uint8: 1 is background, 2 + k is class k, 0 (unlabeled) is unused."""
        label_map = np.ones(self.image.shape[:2], dtype=np.uint8)
        for mask, label in zip(self.masks, self.labels, strict=True):
            label_map[mask] = 2 + label
        return label_map


def signed_distance(name: str, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    """Signed distance of points to a shape centered at the origin and not rotated, negative inside.

    Outside a corner the value is a lower bound of the distance; its sign is exact everywhere. The
    radius is that of the circumscribed circle; all are pixels.
    """
    if name == 'circle':
        return np.hypot(x, y) - radius
    if name == 'ring':
        middle = 0.5 * (1 + _RING_HOLE) * radius
        return np.abs(np.hypot(x, y) - middle) - 0.5 * (1 - _RING_HOLE) * radius
    if name == 'square':
        return np.maximum(np.abs(x), np.abs(y)) - _SQUARE_HALF * radius
    if name == 'cross':
        arm = _CROSS_ARM * radius
        across, along = np.minimum(np.abs(x), np.abs(y)), np.maximum(np.abs(x), np.abs(y))
        return np.maximum(across - _CROSS_RATIO * arm, along - arm)
    if name == 'triangle':
        # Three half-planes at the inscribed radius, half of the circumscribed one.
        slanted = 0.5 * np.sqrt(3) * np.abs(x) - 0.5 * y
        return np.maximum(slanted, y) - 0.5 * radius
    raise ValueError(f'unknown shape {name!r}; the shapes are {", ".join(CLASSES)}')


def shape_area(name: str, radius: float) -> float:
    """Area of a whole shape in square pixels, from its circumscribed radius in pixels."""
    arm = _CROSS_ARM * radius
    areas = {
        'circle': np.pi * radius**2,
        'cross': 4 * arm**2 * _CROSS_RATIO * (2 - _CROSS_RATIO),
        'ring': np.pi * radius**2 * (1 - _RING_HOLE**2),
        'square': (2 * _SQUARE_HALF * radius) ** 2,
        'triangle': 0.75 * 3**0.5 * radius**2,
    }
    if name not in areas:
        raise ValueError(f'unknown shape {name!r}; the shapes are {", ".join(CLASSES)}')
    return float(areas[name])


def rasterize(shape: Shape, height: int, width: int) -> np.ndarray:
    """Signed distance of every pixel center to a shape, (height, width) float64, in pixels."""
    y, x = np.mgrid[:height, :width] - np.array([shape.y, shape.x])[:, None, None]
    cos, sin = np.cos(shape.angle), np.sin(shape.angle)
    return signed_distance(CLASSES[shape.label], cos * x + sin * y, cos * y - sin * x, shape.radius)


def visible_parts(masks: np.ndarray) -> np.ndarray:
    """Cut from each mask (N, H, W) bool, in the order of drawing, what later ones cover."""
    parts = masks.copy()
    covered = np.zeros(masks.shape[1:], dtype=bool)
    for part in parts[::-1]:
        whole = part.copy()
        part &= ~covered
        covered |= whole
    return parts


def _random_shape(rng: np.random.Generator, label: int, height: int, width: int) -> Shape:
    """Shape of a class at a random location; at most a quarter of its diameter leaves the image."""
    short = min(height, width)
    # Log-uniform: as many from small to medium as from medium to large.
    low, high = np.log(MIN_DIAMETER * short / 2), np.log(MAX_DIAMETER * short / 2)
    radius = max(_MIN_RADIUS, float(np.exp(rng.uniform(low, high))))
    x = rng.uniform(0.5 * radius, width - 0.5 * radius)
    y = rng.uniform(0.5 * radius, height - 0.5 * radius)
    return Shape(label, float(x), float(y), radius, float(rng.uniform(0, 2 * np.pi)))


def place_shapes(rng: np.random.Generator, height: int, width: int) -> list[Shape]:
    """Choose the shapes of a scene, the top one last, so that enough of each one stays visible.

    Shapes are placed from the top one down: what is already placed covers a new one and not the
    other way round, so a single test is final, and a shape that fails it is never drawn. Hence
    nothing in an image goes without a label.
    """
    shapes: list[Shape] = []
    covered = np.zeros((height, width), dtype=bool)
    for _ in range(int(rng.integers(MIN_OBJECTS, MAX_OBJECTS + 1))):
        # Outside the loop of tries: a class that is harder to place must not get rarer.
        label = int(rng.integers(len(CLASSES)))
        for _ in range(_PLACE_TRIES):
            shape = _random_shape(rng, label, height, width)
            mask = rasterize(shape, height, width) <= 0
            area = shape_area(CLASSES[label], shape.radius)
            if np.count_nonzero(mask & ~covered) >= max(MIN_VISIBLE * area, MIN_PIXELS):
                shapes.append(shape)
                covered |= mask
                break
    return shapes[::-1]


def render(rng: np.random.Generator, shapes: list[Shape], height: int, width: int) -> Scene:
    """Draw N shapes, the top one last, on a random background, with random colors and textures.

    The scene has all of them, even where nothing of one is visible.
    """
    ground = rng.uniform(15, 240, size=3).astype(np.float32)
    strength = rng.uniform(10, 45)
    image = textured_fill(rng, ground, height, width, strength)
    colors = [ground]
    masks = np.zeros((len(shapes), height, width), dtype=bool)
    for mask, shape in zip(masks, shapes, strict=True):
        distance = rasterize(shape, height, width)
        mask[:] = distance <= 0
        colors.append(pick_color(rng, np.stack(colors)))
        fill = textured_fill(rng, colors[-1], height, width, rng.uniform(0, 35))
        # A pixel in the mask gets at least half of its color from the shape.
        opacity = np.clip(0.5 - distance, 0, 1).astype(np.float32)[..., None]
        image = opacity * fill + (1 - opacity) * image
    image = image + rng.normal(0, rng.uniform(1, 6), size=image.shape)
    image = np.clip(np.rint(image), 0, 255).astype(np.uint8)

    masks = visible_parts(masks)
    labels = np.array([shape.label for shape in shapes], dtype=np.int64)
    areas = np.array([shape_area(CLASSES[shape.label], shape.radius) for shape in shapes])
    return Scene(image, masks, labels, masks.sum(axis=(1, 2)) / areas)


def draw_scene(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Draw a scene of two to six shapes; the same state of ``rng`` gives the same scene."""
    if min(height, width) < MIN_SIDE:
        raise ValueError(
            f'a scene of {height} x {width} (height x width) is too small to distinguish shapes; '
            f'make both sides at least {MIN_SIDE}'
        )
    return render(rng, place_shapes(rng, height, width), height, width)
