"""Implementation of tools/deployment/export_onnx.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..analysis.tables import text_table
from ..errors import ConfigError
from ..inference import load_model
from ..tasks import task_of
from .metadata import as_texts, describe
from .outputs import DetectorOutputs, exportable, make_outputs
from .program import OPSETS, minimum_sizes, require, save_onnx, save_pt2, trace
from .quantize import quantize
from .verify import Difference, onnx_runner, pt2_runner, sizes_to_verify, verify
from .verify_objects import verify_objects

SUFFIXES = {'onnx': '.onnx', 'pt2': '.pt2'}
RUNNERS = {'onnx': onnx_runner, 'pt2': pt2_runner}


@dataclass(frozen=True)
class Export:
    """What was exported.

    Attributes:
        path: The file.
        outputs: The names of its outputs.
        metadata: What it says of itself.
        differences: From torch, empty unless asked for.
    """

    path: Path
    outputs: tuple[str, ...]
    metadata: dict[str, str]
    differences: list[Difference]

    def __str__(self) -> str:
        megabytes = self.path.stat().st_size / 1e6
        title = (
            f'{self.path}: {self.metadata["task"]}, outputs {", ".join(self.outputs)}, '
            f'{megabytes:.1f} MB'
        )
        head = ('images', 'output', 'largest', 'difference', 'relative')
        rows = [
            (
                *(' x '.join(map(str, row.images)), row.output),
                *(f'{row.largest:.4g}', f'{row.difference:.3g}', f'{row.relative:.2g}'),
            )
            for row in self.differences
        ]
        return '\n'.join([title, *(text_table([head, *rows]) if rows else [])])


def export(
    config: Config,
    checkpoint: str | PathLike,
    out: str | PathLike | None = None,
    kind: str = 'onnx',
    opset: int = 20,
    size: tuple[int, int] | None = None,
    names: Sequence[str] = (),
    check: bool = False,
    pasted: bool = False,
    takes_uint8: bool = False,
    calibrate: str | PathLike | None = None,
    is_fixed: bool = False,
) -> Export:
    """Write a trained model, folded, as a file whose batch, height and width are open.

    Args:
        config: A config of mmdet, mmseg or mmpretrain.
        checkpoint: Its weights, which must fit to the last tensor.
        out: The file, by default beside the checkpoint.
        kind: ``'onnx'`` or ``'pt2'``, a program of torch.export.
        opset: The version of ONNX's operators.
        size: Height and width to trace and verify with, by default those that papers use.
        names: Which outputs, by default all; see :mod:`.outputs`.
        check: Compare the file with the model in torch, unfolded, at three sizes.
        pasted: Masks of a detector over the whole image, rather than within their boxes.
        takes_uint8: The file takes images as they are, (B, H, W, 3) uint8 RGB of any size, and
            resizes, normalizes and pads them itself. ONNX only.
        calibrate: Quantize to int8 with the images of this folder; see :mod:`.quantize`.
        is_fixed: Only the batch is open: images of ``size`` alone, computed more quickly.

    Raises:
        ConfigError: If the model or a switch does not allow it, or a package is missing.
        CheckpointError: If the checkpoint cannot be read safely.
    """
    path = Path(out or Path(checkpoint).with_suffix(SUFFIXES[kind]))
    if path.suffix != SUFFIXES[kind]:
        raise ConfigError(f'--out {path}: a file of this format ends with {SUFFIXES[kind]}')
    if kind == 'onnx':
        require('onnx', 'onnxscript', *(['onnxruntime'] if check else []))
        if opset not in OPSETS:
            raise ConfigError(f'--opset must be in {OPSETS[0]}..{OPSETS[-1]}, not {opset}')
    _require_switches(kind, check, pasted, takes_uint8, calibrate is not None)
    predictor = load_model(config, checkpoint, device='cpu')
    size = tuple(size or task_of(predictor.cfg).image_size)
    minimum = minimum_sizes(predictor.model)[1]
    if min(size) < minimum:
        raise ConfigError(f'--shape takes numbers from {minimum}, not {size}')
    outputs = make_outputs(predictor.task, predictor.model, names, pasted, kind == 'pt2')
    about = describe(predictor, outputs, checkpoint)
    if is_fixed:
        _require_fixed(size, about, takes_uint8)
    program = trace(exportable(outputs, is_fixed), size, is_fixed)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == 'onnx':
        about = save_onnx(program, outputs, path, about, opset, takes_uint8)
        if calibrate is not None:
            quantize(path, calibrate, path)
    else:
        save_pt2(program, path, about)
    differences = []
    sizes = [size, size] if is_fixed else sizes_to_verify(size)  # in batches of 1, 2, ...
    if check and isinstance(outputs, DetectorOutputs):
        differences = verify_objects(path, outputs, sizes)
    elif check:
        differences = verify(RUNNERS[kind](path), outputs, sizes)
    return Export(path, tuple(about['outputs']), as_texts(about), differences)


def _require_switches(
    kind: str, check: bool, pasted: bool, takes_uint8: bool, is_int8: bool
) -> None:
    """Raise ConfigError for switches that do not go together."""
    if kind != 'onnx' and (pasted or takes_uint8):
        raise ConfigError('--paste and --simplify-input are for --format onnx')
    if is_int8 and not takes_uint8:
        raise ConfigError('--int8 calibrates with images: add --simplify-input uint8')
    if check and (pasted or takes_uint8):
        raise ConfigError(
            '--verify compares files that take normalized images and give masks within boxes; '
            'leave out --paste and --simplify-input, and use vminet_mm test-onnx for them'
        )


def _require_fixed(size: tuple[int, int], about: dict[str, Any], takes_uint8: bool) -> None:
    """Raise ConfigError unless what comes before the network gives images of one size."""
    if takes_uint8 and _prepared_size(about['resize']) != size:
        raise ConfigError(
            '--fixed-size with --simplify-input needs a test pipeline that ends in images of one '
            f'size, and --shape of that size; this one does: {about["resize"] or "no resizing"}'
        )
    divisor = about['pad_size_divisor']
    if any(edge % divisor for edge in size):
        raise ConfigError(f'--fixed-size takes a --shape of multiples of {divisor}, not {size}')


def _prepared_size(steps: Sequence[dict[str, Any]]) -> tuple[int, int] | None:
    """The size after a pipeline, None where it depends on the image."""
    last = steps[-1] if steps else {}
    if 'height' in last:
        return last['height'], last['width']
    return tuple(last['crop']) if 'crop' in last else None


def require_small(differences: Sequence[Difference]) -> None:
    """Raise ConfigError if a difference is more than rounding."""
    wrong = [row for row in differences if not row.is_small]
    if wrong:
        worst = max(wrong, key=lambda row: row.relative / row.limit)
        raise ConfigError(
            f'{worst.output} differs by {worst.relative:.2g} of its largest value from what torch '
            f'computes for images {worst.images}; at most {worst.limit:.1e} is rounding'
        )
