"""Engines that run a model in a benchmark: torch, torch.compile, onnxruntime or OpenVINO.

The two runtimes are given an ONNX file of the size of the images, in memory, as many threads as
torch, and compute in float32.
"""

from collections.abc import Callable
from copy import deepcopy
from importlib.util import find_spec
from io import BytesIO

import torch
from torch import Tensor, nn

from ..errors import ConfigError, one_line
from ..models import VMINet
from ..models.serving import serve

ENGINES = ('torch', 'compile', 'ort', 'openvino')
PACKAGES = dict(
    ort=('onnx', 'onnxscript', 'onnxruntime'), openvino=('onnx', 'onnxscript', 'openvino')
)
OPSET = 20


def is_runtime(engine: str) -> bool:
    """Whether an engine runs the model outside of torch."""
    return engine in PACKAGES


def require_engine(engine: str) -> None:
    """Raise unless an engine can be used here.

    Raises:
        ConfigError: If there is no such engine, or one of its packages is missing.
    """
    if engine not in ENGINES:
        raise ConfigError(f'{engine!r} is not an engine; choose one of {", ".join(ENGINES)}')
    missing = [name for name in PACKAGES.get(engine, ()) if find_spec(name) is None]
    if missing:
        raise ConfigError(f'engine={engine} needs {missing[0]}: pip install {" ".join(missing)}')


def start(
    engine: str, model: nn.Module, images: Tensor, threads: int
) -> Callable[[Tensor], Tensor]:
    """A model in evaluation mode as a function of images (B, 3, H, W) of one size.

    A runtime computes it on the CPU in float32: ``'ort'`` or ``'openvino'``.

    Raises:
        ConfigError: If ONNX lacks an operator of the model.
    """
    require_engine(engine)
    model = served(model)
    return dict(ort=_start_ort, openvino=_start_openvino)[engine](
        onnx_bytes(model, images), threads
    )


def served(model: nn.Module) -> nn.Module:
    """A model of ours, as a copy, in the order of operators that runtimes are quick at."""
    if not isinstance(getattr(model, 'backbone', None), VMINet):
        return model
    model = deepcopy(model)
    serve(model, is_fixed=True)
    model.backbone.channels_last = False
    return model


def onnx_bytes(model: nn.Module, images: Tensor) -> bytes:
    """An ONNX file of a model at the size of the images.

    Raises:
        ConfigError: If ONNX lacks an operator of the model.
    """
    names = dict(input_names=['images'], output_names=['logits'])
    try:
        with torch.no_grad():
            program = torch.onnx.export(
                model, (images,), dynamo=True, opset_version=OPSET, verbose=False, **names
            )
    except Exception as error:  # of several kinds, none of them documented
        kind = type(model).__name__
        raise ConfigError(f'a {kind} cannot be written as ONNX: {one_line(error, 300)}') from error
    return program.model_proto.SerializeToString()


def _start_ort(content: bytes, threads: int) -> Callable[[Tensor], Tensor]:
    """Run the file by onnxruntime on the CPU."""
    import onnxruntime  # of the extra `export`

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    providers = ['CPUExecutionProvider']
    session = onnxruntime.InferenceSession(content, options, providers=providers)

    def run(images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to the output."""
        return torch.from_numpy(session.run(None, {'images': images.numpy()})[0])

    return run


def _start_openvino(content: bytes, threads: int) -> Callable[[Tensor], Tensor]:
    """Run the file by OpenVINO on the CPU, in float32."""
    import openvino  # of no extra: the tests do not install it

    core = openvino.Core()
    # by default it would compute in bf16 where the CPU has units for it
    asked = dict(INFERENCE_PRECISION_HINT='f32', INFERENCE_NUM_THREADS=threads)
    compiled = core.compile_model(core.read_model(BytesIO(content)), 'CPU', asked)

    def run(images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to the output."""
        return torch.from_numpy(compiled({'images': images.numpy()})[0])

    return run
