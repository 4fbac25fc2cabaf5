"""An operation of Q and K as an ONNX file whose height and width are open."""

from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn
from torch.export import Dim


class _Layer(nn.Module):
    def __init__(self, function: Callable) -> None:
        super().__init__()
        self.function = function

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        return self.function(query, key)


def onnx_function(function: Callable, x: dict[str, Tensor], folder: Path) -> Callable:
    """Export a function, traced with the query and key of ``x``; returns it as onnxruntime has it.

    It takes a dict with query and key, of any height and width.
    """
    sizes = {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    maps = (x['query'].contiguous(), x['key'].contiguous())
    program = torch.onnx.export(
        _Layer(function).eval(),
        maps,
        dynamo=True,
        dynamic_shapes=dict(query=sizes, key=sizes),
        verbose=False,
    )
    program.save(folder / 'function.onnx', external_data=False)
    session = onnxruntime.InferenceSession(folder / 'function.onnx')

    def run(x: dict[str, Tensor]) -> Tensor:
        maps = {name: x[name].numpy() for name in ('query', 'key')}
        return torch.from_numpy(session.run(None, maps)[0])

    return run
