"""Tracing a model with open sizes, and writing it as ONNX or as a program of torch.export."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._dynamo.exc import UserError
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config as symbolic_config

from ..errors import ConfigError, one_line
from ..models.channels import input_channels
from ..tasks import SEGMENTATION
from .detectors import onnx_translation
from .metadata import as_texts, ready
from .outputs import Outputs

OPSETS = range(18, 24)  # the oldest that torch writes, the newest that onnxruntime reads
STRIDE = 32  # of the last map of most backbones


def require(*packages: str) -> None:
    """Raise ConfigError unless packages are installed."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ConfigError(f'{missing[0]} is not installed: pip install {" ".join(missing)}')


def minimum_sizes(model: nn.Module) -> tuple[int, int]:
    """The minimum edges in pixels of an image to predict for, and of one to trace with.

    torch.export takes sizes for open only where no map of the backbone has a single cell. It is
    traced with twice the stride, so that what it is verified with is large enough, too.
    """
    stride = getattr(getattr(model, 'backbone', None), 'out_strides', [STRIDE])[-1]
    return stride + 1, 2 * stride


def trace(outputs: Outputs, size: tuple[int, int], is_fixed: bool = False) -> ExportedProgram:
    """Trace a model that is :func:`~vminet_mm.export.exportable`; all sizes stay open.

    With ``is_fixed`` that of the batch alone.

    Raises:
        ConfigError: If the model has operators whose sizes cannot stay open.
    """
    sizes = {0: Dim('batch')}
    if not is_fixed:
        minimum = dict(min=minimum_sizes(outputs.model)[0])
        sizes |= {2: Dim('height', **minimum), 3: Dim('width', **minimum)}
    image = torch.randn(2, input_channels(outputs.model), *size)
    edges = [torch.tensor(size, dtype=torch.float32) for _ in outputs.inputs[1:]]
    try:
        # a batch of one, and conditions on sizes that need not be known when tracing
        with torch.no_grad(), symbolic_config.patch(backed_size_oblivious=True):
            return torch.export.export(
                outputs,
                (image, *edges),
                dynamic_shapes=dict(image=sizes)
                | ({'sizes': (None,) * len(edges)} if edges else {}),
                prefer_deferred_runtime_asserts_over_guards=True,
            )
    except (UserError, RuntimeError, TypeError) as error:
        kind = type(outputs.model).__name__
        reason = one_line(error, 500)
        raise ConfigError(f'this {kind} cannot be exported with open sizes: {reason}') from error


def save_onnx(
    program: ExportedProgram,
    outputs: Outputs,
    path: Path,
    about: dict[str, Any],
    opset: int = 20,
    takes_uint8: bool = False,
) -> dict[str, Any]:
    """Write one ONNX file of what :func:`trace` made of outputs, weights and metadata inside.

    Its input is normalized images, or images as they are, (B, H, W, C) uint8, RGB if they have
    colors. Returns what the file says of itself.
    """
    import onnx  # of the extra `export`

    from .front import add_front, add_label_map, name_sizes

    onnx_program = torch.onnx.export(
        program,
        dynamo=True,
        opset_version=opset,
        input_names=list(outputs.inputs),
        output_names=outputs.names,
        custom_translation_table=onnx_translation(),
        verbose=False,
    )
    for node in onnx_program.model.graph.all_nodes():
        node.metadata_props.clear()  # where in which source file each is from
    model = onnx_program.model_proto
    name_sizes(model)
    is_detector = len(outputs.inputs) > 1
    if takes_uint8 and about['task'] == SEGMENTATION.name:
        model = add_label_map(model)
    if takes_uint8 or is_detector:
        model = add_front(model, about, takes_uint8)
        about = ready(about, takes_uint8)
    onnx.helper.set_model_props(model, as_texts(about))
    onnx.save(model, path)
    return about


def save_pt2(program: ExportedProgram, path: Path, about: dict[str, Any]) -> None:
    """Write a program for :func:`torch.export.load`, with the metadata as ``metadata.json``."""
    texts = json.dumps(as_texts(about))
    torch.export.save(program, path, extra_files={'metadata.json': texts})
