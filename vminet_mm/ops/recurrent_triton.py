"""The recurrent form of VMI-SA as fused scans in Triton: Q and K are read once, Y written once.

The result is that of :mod:`.recurrent_reference`; :mod:`.recurrent_torch` derives the gradients.
Where images and channels alone are too few programs to fill a GPU, the tokens are cut into
segments: a first launch sums each of them, and their scans start from the sums of those before. No
atomics: a run repeats bit for bit.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import FunctionCtx

from . import recurrent_torch
from .recurrent_reference import fit_fields
from .recurrent_triton_kernels import backward_kernel, forward_kernel

# without a GPU the kernels run where Triton interprets them (TRITON_INTERPRET=1, read at import)
INTERPRETED = not isinstance(forward_kernel, triton.runtime.JITFunction)

PROGRAMS = 1024  # segments are cut up to this many: some waves on the largest GPU
SEGMENT_BLOCKS = 4  # and down to this many blocks of tokens each


def recurrent_attention(
    query: Tensor,
    key: Tensor,
    alpha: Tensor,
    mask: Tensor,
    beta: Tensor,
    recurrent_mask: str = 'readout',
) -> Tensor:
    """As :func:`vminet_mm.ops.recurrent_torch.recurrent_attention`.

    Query and key may be strided views, such as the two halves of one tensor. Tensors on the CPU go
    to :mod:`.recurrent_torch` unless Triton interprets its kernels.
    """
    if not (query.is_cuda or INTERPRETED):
        return recurrent_torch.recurrent_attention(query, key, alpha, mask, beta, recurrent_mask)
    alpha, mask, beta = fit_fields(alpha, mask, beta, query.shape[-2:])
    tokens = (query.flatten(2), key.flatten(2), alpha.flatten(), beta.flatten())
    return _attention(*tokens, mask, recurrent_mask == 'inside').unflatten(2, query.shape[-2:])


@torch.library.custom_op('vminet_mm::recurrent_attention', mutates_args=())
def _attention(
    query: Tensor, key: Tensor, alpha: Tensor, beta: Tensor, mask: Tensor, inside: bool
) -> Tensor:
    """The output (B, D, L) for query and key (B, D, L), alpha and beta (L) and mask (L, D)."""
    out = torch.empty_like(query)
    inputs = (*_with_equal_strides(query, key), alpha, beta, mask)
    below_six = recurrent_torch.below_six(query.dtype)
    _launch(forward_kernel, inputs, (out,), INSIDE=inside, BELOW_6=below_six)
    return out


@torch.library.custom_op('vminet_mm::recurrent_attention_backward', mutates_args=())
def _attention_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    alpha: Tensor,
    beta: Tensor,
    mask: Tensor,
    out: Tensor,
    inside: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of query, key, alpha and beta."""
    grad_query, grad_key = torch.empty_like(out), torch.empty_like(out, dtype=key.dtype)
    batch, channels, tokens = query.shape
    blocks = triton.cdiv(channels, _tiling(query).block_d)
    parts = query.new_empty(2, batch, blocks, tokens, dtype=_sum_dtype(query))
    inputs = (*_with_equal_strides(query, key), alpha, beta, mask)
    outputs = (*_with_equal_strides(out, grad), grad_query, grad_key, *parts)
    _launch(backward_kernel, inputs, outputs, reverse=True, INSIDE=inside)
    grad_alpha, grad_beta = (part.sum((0, 1)) for part in parts)
    return grad_query, grad_key, grad_alpha.to(alpha.dtype), grad_beta.to(beta.dtype)


@_attention.register_fake
def _(query: Tensor, key: Tensor, alpha: Tensor, beta: Tensor, mask: Tensor, inside: bool):
    return torch.empty_like(query)


@_attention_backward.register_fake
def _(grad, query, key, alpha, beta, mask, out, inside):
    grads = torch.empty_like(out), torch.empty_like(out, dtype=key.dtype)
    return *grads, torch.empty_like(alpha), torch.empty_like(beta)


def _setup_context(ctx: FunctionCtx, inputs: tuple, output: Tensor) -> None:
    *tensors, ctx.inside = inputs
    ctx.save_for_backward(*tensors, output)


def _backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
    return *_attention_backward(grad, *ctx.saved_tensors, ctx.inside), None, None


_attention.register_autograd(_backward, setup_context=_setup_context)


class _Tiling(NamedTuple):
    """How channels and tokens are cut between programs."""

    grid: tuple[int, int, int]  # blocks of channels, segments, images
    segment: int  # tokens
    block_d: int  # channels
    block_l: int  # tokens


def _tiling(query: Tensor) -> _Tiling:
    batch, channels, tokens = query.shape
    # long where memory is contiguous; 8 elements for each thread of 8 warps
    block_d, block_l = (16, 128) if query.stride(2) == 1 else (64, 32)
    block_d = min(block_d, triton.next_power_of_2(channels))
    block_l = min(block_l, triton.next_power_of_2(tokens))
    blocks = triton.cdiv(channels, block_d)
    segments = min(
        triton.cdiv(PROGRAMS, max(batch * blocks, 1)),
        triton.cdiv(tokens, SEGMENT_BLOCKS * block_l),
    )
    segment = triton.cdiv(tokens, segments * block_l) * block_l
    return _Tiling((blocks, triton.cdiv(tokens, segment), batch), segment, block_d, block_l)


def _launch(
    kernel: triton.runtime.KernelInterface,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    reverse: bool = False,
    **options: bool | float,
) -> None:
    """Scan, from the last token with ``reverse``; over several segments in two launches."""
    query, mask, out = inputs[0], inputs[-1], outputs[0]
    grid, segment, block_d, block_l = _tiling(query)
    state = query.new_zeros(query.shape[0], grid[1], query.shape[1], dtype=_sum_dtype(query))
    strides = (*query.stride(), *out.stride(), *mask.stride())
    sizes = (*query.shape[1:], segment)
    options.update(BLOCK_D=block_d, BLOCK_L=block_l, num_warps=8)
    options['ACC'] = tl.float64 if state.dtype == torch.float64 else tl.float32
    with torch.cuda.device_of(query):
        if grid[1] > 1:
            kernel[grid](*inputs, state, *outputs, *strides, *sizes, **options, TOTALS=True)
            state = _sums_before(state.flip(1)).flip(1) if reverse else _sums_before(state)
        kernel[grid](*inputs, state, *outputs, *strides, *sizes, **options, TOTALS=False)


def _sums_before(totals: Tensor) -> Tensor:
    """What each segment starts from (B, segments, D): the sum of those before it."""
    return F.pad(recurrent_torch.cumsum_(totals[:, :-1].clone(), 1), (0, 0, 1, 0))


def _sum_dtype(query: Tensor) -> torch.dtype:
    return torch.promote_types(query.dtype, torch.float32)


def _with_equal_strides(x: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Both as x is in memory, for the kernels know one set of strides for both."""
    if x.stride() == other.stride():
        return x, other
    x = x if x.is_contiguous() else x.clone()  # dense
    return x, torch.empty_like(x, dtype=other.dtype).copy_(other)
