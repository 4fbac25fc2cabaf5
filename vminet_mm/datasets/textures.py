"""Random textures and colors of the built-in scenes: background and fills come from one source.

Shapes and background share their textures and their range of colors, so that neither gives a
class away and a model has to look at outlines.
"""

import cv2
import numpy as np

MIN_CONTRAST = 75.0  # minimum distance in RGB between a fill and everything it may lie on
_COLOR_TRIES = 24


def smooth_noise(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Random cloud of one of several grain sizes, (height, width) float32 in [0, 1]."""
    cells = int(rng.integers(3, 17))
    grid = rng.random((cells, max(2, round(cells * width / height))), dtype=np.float32)
    # Cubic interpolation overshoots the grid's range.
    return np.clip(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def _along(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Position in pixels along a random direction, (height, width) float32."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.float32(np.cos(angle)) * x + np.float32(np.sin(angle)) * y


def gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Linear ramp in a random direction, (height, width) float32 in [0, 1]."""
    position = _along(rng, height, width)
    return (position - position.min()) / max(float(np.ptp(position)), 1.0)


def stripes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Soft or hard stripes in a random direction, (height, width) float32 in [0, 1]."""
    period = rng.uniform(5, 28)
    hardness = rng.uniform(0.5, 4.0)
    phase = _along(rng, height, width) * np.float32(2 * np.pi / period)
    wave = np.sin(phase + np.float32(rng.uniform(0, 2 * np.pi)))
    return np.clip(0.5 + np.float32(0.5 * hardness) * wave, 0, 1)


def checks(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Two crossing families of stripes, (height, width) float32 in [0, 1]."""
    difference = stripes(rng, height, width) - stripes(rng, height, width)
    return np.abs(difference)


_TEXTURES = (smooth_noise, gradient, stripes, checks)


def random_texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Weighted mix of two random textures, (height, width) float32 in [0, 1]."""
    first, second = rng.choice(len(_TEXTURES), size=2)
    weight = np.float32(rng.uniform(0, 1))
    mix = weight * _TEXTURES[first](rng, height, width)
    return mix + (1 - weight) * _TEXTURES[second](rng, height, width)


def pick_color(rng: np.random.Generator, others: np.ndarray) -> np.ndarray:
    """Random RGB color (3,) which stands out from each of ``others`` (K, 3).

    The first of several draws at least ``MIN_CONTRAST`` away from all others, or the farthest where
    a crowded image leaves none.
    """
    candidates = rng.uniform(15, 240, size=(_COLOR_TRIES, 3)).astype(np.float32)
    distances = np.linalg.norm(candidates[:, None] - others[None], axis=-1).min(axis=1)
    far_enough = np.flatnonzero(distances >= MIN_CONTRAST)
    return candidates[far_enough[0] if len(far_enough) else distances.argmax()]


def textured_fill(
    rng: np.random.Generator, color: np.ndarray, height: int, width: int, strength: float
) -> np.ndarray:
    """Surface of a mean RGB color (3,) with a random texture in a random tint, not clipped.

    The strength is the largest departure from the mean, 0 to 255.
    """
    tint = rng.normal(size=3).astype(np.float32)
    tint *= np.float32(strength) / np.linalg.norm(tint)
    field = random_texture(rng, height, width)
    return color + (2 * field[..., None] - 1) * tint
