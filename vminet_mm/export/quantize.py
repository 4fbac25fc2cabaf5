"""Quantizing an exported file to int8 with onnxruntime, calibrated on a folder of images."""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.pictures import IMAGE_NAME
from ..errors import ConfigError, InputError
from .program import require
from .session import open_session, read_metadata, read_pixels

MAX_IMAGES = 64  # for calibration
QUANTIZED = ('Conv', 'Gemm', 'MatMul')
HEADS = ('dense.', 'region.')  # of a detector: what follows the neck, and stays in float32


def quantize(path: str | PathLike, images: str | PathLike, out: str | PathLike) -> int:
    """Write a file of int8 weights (by channel) and uint8 activations.

    Convolutions and products with weights are quantized, but for a detector's heads: the values
    from which boxes and scores are decoded stay in float32.

    Args:
        path: A file of :func:`vminet_mm.export.export` made with ``takes_uint8``.
        images: A folder of images like those that the model will see, sub-folders included;
            up to :data:`MAX_IMAGES` of them are read, evenly spread.
        out: The file to write.

    Returns:
        int: How many operators were quantized.

    Raises:
        ConfigError: If the file does not take images as they are, or the folder has none.
    """
    require('onnx', 'onnxruntime')
    import onnx  # of the extra `export`
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    about = read_metadata(open_session(path), path)
    if about['input'] != 'uint8':
        raise ConfigError(
            f'{path} takes normalized images; export with --simplify-input uint8, so that it can '
            'be calibrated with images'
        )
    model = onnx.load(path)
    nodes = nodes_with_weights(model)
    quantize_static(
        model,
        out,
        _Images(images, MAX_IMAGES, about),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(QUANTIZED),
        nodes_to_quantize=nodes,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    quantized = onnx.load(out)
    onnx.helper.set_model_props(quantized, {p.key: p.value for p in model.metadata_props})
    onnx.save(quantized, out)
    return len(nodes)


def nodes_with_weights(model: Any) -> list[str]:
    """The names of the operators to quantize: those with weights, outside of a detector's heads."""
    weights = {one.name for one in model.graph.initializer if len(one.dims) > 1}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in QUANTIZED
        and any(name in weights and not name.startswith(HEADS) for name in node.input)
    ]


class _Images:
    """onnxruntime's reader of calibration data."""

    def __init__(self, folder: str | PathLike, number: int, about: dict[str, Any]) -> None:
        if not Path(folder).is_dir():
            raise ConfigError(f'there is no folder {folder} for --calibrate')
        files = sorted(p for p in Path(folder).rglob('*') if IMAGE_NAME.fullmatch(p.name))
        if not files:
            raise InputError(f'there is no image in {folder} or below, for --calibrate')
        number = min(number, len(files))
        # spread evenly: the first ones may all be of one class
        self.inputs = self._read([files[k * len(files) // number] for k in range(number)], about)

    @staticmethod
    def _read(files: Sequence[Path], about: dict[str, Any]) -> Iterator[dict[str, np.ndarray]]:
        for file in files:
            yield {'image': read_pixels(file, about)}

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch, as onnxruntime asks for it."""
        return next(self.inputs, None)
