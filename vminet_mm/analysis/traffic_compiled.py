"""Bytes and kernels of compiled blocks in inference, by Inductor's own count.

Inductor schedules a block for Triton and counts each buffer that a kernel reads or writes once:
``GraphLowering.count_bytes``, which ``torch._inductor.metrics.num_bytes_accessed`` sums. Then it is
stopped: nothing is compiled or run, and no GPU is needed. What cuDNN does with a convolution's bias
is not seen.
"""

from contextlib import suppress
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch._inductor import config
from torch._inductor.graph import GraphLowering

from ..compat.patching import temporarily
from .model_zoo import ModelSpec, Size, build_model
from .traffic import BlockTraffic, ModelTraffic, Passes, Traffic, is_block


def count_compiled(
    spec: ModelSpec,
    batch: int = 128,
    size: Size = (224, 224),
    dtype: torch.dtype = torch.float16,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> ModelTraffic:
    """Count a model's blocks in inference, the first of each shape.

    ``impl=triton`` is what CUDA compiles; launches are Inductor's kernels and calls of libraries.
    """
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
        passes = Passes(schedule(block, x))
        rows.append(BlockTraffic(tuple(x.shape), unit, len(blocks), passes))
    return ModelTraffic(spec.text, None, rows)


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


def to_compiled_table(models: list[ModelTraffic]) -> str:
    """Each shape in units of P, and the mean over all blocks."""
    lines = []
    for model in models:
        lines.append(f'{model.model}, compiled, inference')
        for block in model.blocks:
            infer = block.passes.infer
            lines.append(
                f'  {block.times:3} x {block.shape}: {infer.bytes / block.unit:.1f} P, '
                f'{infer.launches} launches'
            )
        mean = model.in_units(lambda passes: passes.infer.bytes) if model.blocks else None
        lines.append('  no known blocks' if mean is None else f'  mean: {mean:.1f} P')
    return '\n'.join(lines)
