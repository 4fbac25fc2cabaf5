"""Image files by their names and sizes, and images of any kind as pictures to be looked at."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

IMAGE_NAME = re.compile(
    r'.*\.(avif|bmp|gif|jfif|jp2|jpe|jpeg|jpg|pbm|pgm|png|pnm|ppm|tif|tiff|webp)', re.IGNORECASE
)
EXIF_ORIENTATION = 0x0112
TURNED = (5, 6, 7, 8)  # orientations that swap width and height


def to_picture(image: np.ndarray) -> np.ndarray:
    """A picture of an image: of one or two channels the first in gray, of more the first three.

    Args:
        image: (H, W) or (H, W, C) of any type. Values that are not uint8 are stretched, so that
            the smallest is black and the largest white.

    Returns:
        np.ndarray: (H, W, 3) uint8, the channels in the order of the image.
    """
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[2] < 3:
        image = image[..., :1].repeat(3, axis=2)
    image = image[..., :3]
    if image.dtype != np.uint8:
        image = image.astype(np.float32)
        low, high = image.min(), image.max()
        image = 255 * (image - low) / max(high - low, 1e-6)
    return np.ascontiguousarray(image, dtype=np.uint8)


def loaded_size(path: str | Path) -> tuple[tuple[int, int], bool] | None:
    """Width and height of an image as OpenCV loads it, and if its EXIF orientation swaps them.

    None if the file cannot be read.
    """
    try:
        with Image.open(path) as image:
            is_turned = image.getexif().get(EXIF_ORIENTATION) in TURNED
            return (image.size[::-1] if is_turned else image.size), is_turned
    except Exception:  # decoders raise all kinds of errors; opening the samples names them
        return None
