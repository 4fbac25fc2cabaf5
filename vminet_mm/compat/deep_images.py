"""Images of more than 8 bits become white, or black, when mmcv reads them with Pillow.

Pillow clips their values to 0 to 255. OpenCV, mmcv's default, takes the upper 8 of 16 bits.
"""

from types import ModuleType
from typing import Any

from .patching import wrap

DEEP_MODES = ('F', 'I', 'I;16', 'I;16B', 'I;16L', 'I;16N')


def fix(module: ModuleType) -> None:
    """Refuse what Pillow would clip."""

    def pillow_to_array(original: Any, image: Any, flag: str = 'color', *args: Any) -> Any:
        """``_pillow2array`` for images of 8 bits."""
        if flag != 'unchanged' and image.mode in DEEP_MODES:
            raise ValueError(
                f'Pillow would clip an image of mode {image.mode} to 8 bits; '
                "load it with imdecode_backend='cv2', or write it with 8 bits a channel"
            )
        return original(image, flag, *args)

    wrap(module, '_pillow2array', pillow_to_array, __name__)
