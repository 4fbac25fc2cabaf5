"""Bytes and kernels of compiled blocks in inference, by Inductor's own count.

Inductor schedules a block for Triton and counts each buffer that a kernel reads or writes once:
``GraphLowering.count_bytes``, which ``torch._inductor.metrics.num_bytes_accessed`` sums. Then it is
stopped: nothing is compiled or run, and no GPU is needed. What cuDNN does with a convolution's bias
is not seen.
"""

from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch._inductor import config
from torch._inductor.graph import GraphLowering

from ..compat.patching import temporarily
from .model_zoo import ModelSpec, Size, build_model
from .traffic import Traffic, is_block


@dataclass(frozen=True)
class CompiledBlock:
    """The blocks of a model with one shape of input.

    Attributes:
        shape: (B, C, H, W) of the input.
        unit: P in bytes, one pass over that input.
        times: How many such blocks there are.
        infer: The traffic of one of them; launches are Inductor's kernels and calls of libraries.
    """

    shape: tuple[int, ...]
    unit: int
    times: int
    infer: Traffic


@dataclass(frozen=True)
class CompiledModel:
    """The blocks of a model of a spec."""

    model: str
    blocks: list[CompiledBlock]


def count_compiled(
    spec: ModelSpec,
    batch: int = 128,
    size: Size = (224, 224),
    dtype: torch.dtype = torch.float16,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> CompiledModel:
    """Count a model's blocks, of each shape the first; ``impl=triton`` is what CUDA compiles."""
    model = build_model(spec, size).eval()
    by_shape: dict[tuple, list[nn.Module]] = {}
    for block in filter(is_block, model.modules()):
        block.register_forward_pre_hook(
            lambda block, args: by_shape.setdefault(tuple(args[0].shape[1:]), []).append(block)
        )
    with torch.no_grad():
        model(torch.zeros(1, 3, *size))
    rows = []
    for shape, blocks in by_shape.items():
        block = blocks[0].to(dtype=dtype, memory_format=memory_format)
        block._forward_pre_hooks.clear()
        x = torch.zeros(batch, *shape, dtype=dtype).to(memory_format=memory_format)
        unit = x.numel() * x.element_size()
        rows.append(CompiledBlock(tuple(x.shape), unit, len(blocks), schedule(block, x)))
    return CompiledModel(spec.text, rows)


def schedule(module: nn.Module, x: Tensor) -> Traffic:
    """What a compiled module moves and launches in inference."""
    from ..ops import matrix_triton, pointwise

    found: list[Traffic] = []

    def stop(*args: object) -> None:
        """Refuse to run what was not compiled."""
        raise NotImplementedError('scheduled, not compiled')

    def count(graph: GraphLowering) -> SimpleNamespace:
        """Note what the scheduled graph moves, in place of compiling it."""
        graph.init_wrapper_code()
        graph._update_scheduler()
        sizes = [node.get_read_write_buffers_sizes() for node in graph.scheduler.nodes]
        found.append(Traffic(sum(sizes), sum(size > 0 for size in sizes)))
        return SimpleNamespace(call=stop, runner=None, __file__='')

    torch.compiler.reset()
    options = dict(cpu_backend='triton', layout_optimization=False, fx_graph_cache=False)
    with (
        temporarily(GraphLowering, compile_to_module=count),
        temporarily(matrix_triton, INTERPRETED=True),
        temporarily(pointwise, is_product=pointwise.is_last),
        config.patch(options),
        torch.no_grad(),
        suppress(NotImplementedError),
    ):
        torch.compile(module, fullgraph=True, dynamic=False)(x)
    torch.compiler.reset()
    (traffic,) = found  # of one graph
    return traffic


def to_compiled_table(models: list[CompiledModel]) -> str:
    """Each shape in units of P, and the mean over all blocks."""
    lines = []
    for model in models:
        lines.append(f'{model.model}, compiled, inference')
        units = sum(block.times * block.unit for block in model.blocks)
        for block in model.blocks:
            launches, passes = block.infer.launches, block.infer.bytes / block.unit
            lines.append(f'  {block.times:3} x {block.shape}: {passes:.1f} P, {launches} launches')
        size = sum(block.times * block.infer.bytes for block in model.blocks)
        lines.append(f'  mean: {size / units:.1f} P' if units else '  no known blocks')
    return '\n'.join(lines)
