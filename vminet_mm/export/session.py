"""Opening an exported ONNX file, with a one-line error for an invalid one."""

import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, error_text
from ..inference.sources import read_image
from .program import require

PLAIN = (
    *('task', 'input', 'color_order', 'color_type'),
    *('backbone', 'arch', 'config', 'checkpoint', 'version'),
)


def open_session(path: str | PathLike, provider: str = 'CPUExecutionProvider') -> Any:
    """An onnxruntime session of a file.

    Raises:
        ConfigError: If there is no such file or provider, it is truncated or no ONNX file, or of
            an opset that onnxruntime does not know, or onnxruntime is missing.
    """
    require('onnxruntime')
    import onnxruntime  # of the extra `export`

    if not Path(path).is_file():
        raise ConfigError(f'there is no file {path}')
    known = onnxruntime.get_available_providers()
    if provider not in known:
        raise ConfigError(f'onnxruntime has no {provider} here; there are: {", ".join(known)}')
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # the error is reported once, below
    try:
        return onnxruntime.InferenceSession(path, options, providers=[provider])
    except Exception as error:  # onnxruntime's own kinds, none of them documented
        if 'opset' in str(error).lower():
            raise ConfigError(
                f'{path}: onnxruntime {onnxruntime.__version__} does not know its opset; export '
                f'with a smaller --opset, or update onnxruntime ({error_text(error)})'
            ) from error
        raise ConfigError(
            f'{path} is truncated, or no ONNX file that onnxruntime can run; export it again '
            f'({error_text(error)})'
        ) from error


def read_metadata(session: Any, path: str | PathLike) -> dict[str, Any]:
    """What a file says of itself, as plain values.

    Raises:
        ConfigError: If it was not made by tools/deployment/export_onnx.py.
    """
    texts = session.get_modelmeta().custom_metadata_map
    if 'task' not in texts or 'input' not in texts:
        raise ConfigError(f'{path} was not made by vminet_mm export of this version')
    return {key: text if key in PLAIN else json.loads(text) for key, text in texts.items()}


def read_pixels(path: str | PathLike, about: dict[str, Any]) -> np.ndarray:
    """An image file, (1, H, W, C) uint8, as a file that was made with ``takes_uint8`` takes it.

    Raises:
        InputError: If the image cannot be read.
    """
    image = read_image(path, about.get('color_type', 'color'))
    image = image[..., None] if image.ndim == 2 else image
    image = image[..., ::-1] if about.get('color_order', 'rgb') == 'rgb' else image
    return np.ascontiguousarray(image[None])
