"""The matrix form of VMI-SA, fused with Triton.

The result is that of :mod:`.reference`. Where all tokens of a few channels fit on chip, one kernel
each way reads Q and K once; else two do. The backward pass computes E again from Q and K. See
README.md beside this file for the derivation.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import FunctionCtx

from . import matrix_torch
from .context_weights import ContextWeights
from .matrix_triton_kernels import (
    backward_kernel,
    context_sums_kernel,
    forward_kernel,
    gradient_sums_kernel,
)

# without a GPU the kernels run where Triton interprets them (TRITON_INTERPRET=1, read at import)
INTERPRETED = not isinstance(forward_kernel, triton.runtime.JITFunction)

TILE = 2048  # elements of a tile, where there is the choice
MAX_TILE = 16384  # elements of a tile which holds all tokens, in the forward pass
PROGRAMS = 1024  # the images are split between programs until there are so many


def separable_attention(
    query: Tensor,
    key: Tensor,
    alpha: Tensor,
    mask: Tensor,
    scale: Tensor,
    beta: Tensor,
    context_resize: str = 'pool',
    spans: tuple[int, int] | None = None,
) -> Tensor:
    """As :func:`vminet_mm.ops.reference.separable_attention`.

    Query and key may be strided views, such as the two halves of one tensor. The output is
    contiguous, or channels_last where the query is. Tensors on the CPU go to :mod:`.matrix_torch`,
    unless Triton interprets its kernels.

    Args:
        spans: ``(mixed, whole)`` of the mask, see :func:`vminet_mm.ops.mask_spans`. Without it all
            rows of the mask are read.

    Raises:
        ValueError: If the shapes do not fit together.
    """
    if not (query.is_cuda or INTERPRETED):
        return matrix_torch.separable_attention(
            query, key, alpha, mask, scale, beta, context_resize, spans
        )
    if key.shape != query.shape or mask.shape != (alpha.numel(), query.shape[1]):
        raise ValueError(
            f'query {tuple(query.shape)}, key {tuple(key.shape)}, alpha {tuple(alpha.shape)} and '
            f'mask {tuple(mask.shape)} do not fit: give (B, D, H, W) twice, (H0, W0) and '
            '(H0 * W0, D)'
        )
    mixed, whole = spans or (len(mask), len(mask))
    return _attention(query, key, alpha, mask, scale, beta, context_resize, mixed, whole)[0]


@torch.library.custom_op('vminet_mm::separable_attention', mutates_args=())
def _attention(
    query: Tensor,
    key: Tensor,
    alpha: Tensor,
    mask: Tensor,
    scale: Tensor,
    beta: Tensor,
    context_resize: str,
    mixed: int,
    whole: int,
) -> tuple[Tensor, Tensor]:
    """The output (B, D, H, W) and the context (B, D)."""
    out, context = _new_like(query), _new_context(query)
    if not query.numel():
        return out, context
    weights = ContextWeights(alpha.shape, query.shape[2:], context_resize, (mixed, whole))
    call = prepare(query, key, weights, alpha, mask, MAX_TILE)
    with torch.cuda.device_of(query):
        if not call.one_tile:
            sums = context.new_empty(call.grid[0], *context.shape)
            context_sums_kernel[call.grid](
                *call.inputs, sums, *call.strides, *call.table.stride(), *call.sizes, **call.options
            )
            context = sums.sum(0)
        forward_kernel[call.grid](
            *call.inputs, scale, beta, context, out,
            *call.strides, *out.flatten(2).stride(), *call.table.stride(), *call.sizes,
            **call.options, ONE_TILE=call.one_tile,
        )  # fmt: skip
    return out, context


@torch.library.custom_op('vminet_mm::separable_attention_backward', mutates_args=())
def _attention_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    alpha: Tensor,
    mask: Tensor,
    scale: Tensor,
    beta: Tensor,
    context: Tensor,
    context_resize: str,
    mixed: int,
    whole: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of query, key, alpha, scale and beta."""
    grad_query, grad_key = _new_like(query), _new_like(query, key.dtype)
    if not query.numel():
        return grad_query, grad_key, *(torch.zeros_like(x) for x in (alpha, scale, beta))
    grad = grad.contiguous(memory_format=_memory_format(query))
    weights = ContextWeights(alpha.shape, query.shape[2:], context_resize, (mixed, whole))
    call = prepare(query, key, weights, alpha, mask, MAX_TILE // 2)  # Q, K, G and dw are held
    strides = (*call.strides, *grad_query.flatten(2).stride())
    sums = context.new_empty(2, *context.shape)
    grad_shared, grad_table = new_weight_gradients(call)
    with torch.cuda.device_of(query):
        if not call.one_tile:
            partial = context.new_empty(2, call.grid[0], *context.shape)
            gradient_sums_kernel[call.grid](
                *call.inputs[:2], scale, beta, context, grad, partial,
                *strides, *call.sizes[:3], **call.options,
            )  # fmt: skip
            sums = partial.sum(1)
        backward_kernel[call.grid](
            *call.inputs, scale, beta, context, grad, sums,
            grad_query, grad_key, grad_shared, grad_table,
            *strides, *call.table.stride(), *call.sizes,
            **call.options, ONE_TILE=call.one_tile,
        )  # fmt: skip
    with torch.autocast(query.device.type, enabled=False):
        grad_alpha = weights.alpha_gradient(grad_shared.sum((0, 1)), grad_table.sum(0), mask)
    return (
        grad_query,
        grad_key,
        grad_alpha.to(alpha.dtype),
        (sums[0] * context).sum().view_as(scale).to(scale.dtype),
        sums[1].sum().view_as(beta).to(beta.dtype),
    )


@dataclass(frozen=True)
class Call:
    """What the kernels of a pass share.

    Attributes:
        inputs: Query and key (B, D, L) with the same strides, shared weights and table.
        grid: Token tiles, channel tiles, image splits.
        one_tile: Whether one tile holds all tokens.
        options: Size of the tile, dtype of the arithmetic, number of warps.
    """

    inputs: tuple[Tensor, Tensor, Tensor, Tensor]
    grid: tuple[int, int, int]
    one_tile: bool
    options: dict

    @property
    def table(self) -> Tensor:
        return self.inputs[3]

    @property
    def strides(self) -> tuple[int, int, int]:
        return self.inputs[0].stride()

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """B, D, L and T."""
        return *self.inputs[0].shape, self.table.shape[1]


def prepare(
    query: Tensor, key: Tensor, weights: ContextWeights, alpha: Tensor, mask: Tensor, max_tile: int
) -> Call:
    """Flatten the inputs, build the weights of the context and choose tile and grid."""
    query, key = query.flatten(2), key.flatten(2)
    if query.stride() != key.stride():
        query, key = query.contiguous(), key.contiguous()
    by_channel = query.stride(1) == 1 and query.stride(2) != 1
    with torch.autocast(query.device.type, enabled=False):
        shared, table = weights.build(alpha.to(_accumulator(query)), mask)
    table = table.t().contiguous().t() if by_channel else table.contiguous()

    images, channels, tokens = query.shape
    # 16 channels of half precision are the 32 bytes that memory is read by
    narrowest = min(16 if by_channel else 1, triton.next_power_of_2(channels))
    block_l = triton.next_power_of_2(tokens)
    one_tile = narrowest * block_l <= max_tile
    if one_tile:
        block_d = max(narrowest, TILE // block_l)
    else:
        block_d, block_l = (64, 64) if by_channel else (32, 128)
    block_d = min(block_d, triton.next_power_of_2(channels))
    tiles = triton.cdiv(tokens, block_l), triton.cdiv(channels, block_d)
    splits = min(images, triton.cdiv(PROGRAMS, tiles[0] * tiles[1]))
    options = dict(
        BLOCK_D=block_d,
        BLOCK_L=block_l,
        ACC=tl.float64 if shared.dtype == torch.float64 else tl.float32,
        num_warps=max(1, min(16, block_d * block_l // 256)),  # 8 elements a thread: more spill
    )
    return Call((query, key, shared, table), (*tiles, splits), one_tile, options)


def new_weight_gradients(call: Call) -> tuple[Tensor, Tensor]:
    """(image splits, channel tiles, L - T) and (image splits, D, T), the latter in memory as the
    table is.
    """
    shared, table = call.inputs[2:]
    splits = call.grid[2]
    grad_shared = shared.new_empty(splits, call.grid[1], len(shared))
    if table.is_contiguous():
        return grad_shared, table.new_empty(splits, *table.shape)
    return grad_shared, table.new_empty(splits, *table.t().shape).transpose(1, 2)


def _accumulator(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _memory_format(x: Tensor) -> torch.memory_format:
    """Also of half the channels of a channels_last tensor, which is none to torch."""
    is_last = x.stride(1) == 1 and x.stride(3) != 1
    return torch.channels_last if is_last else torch.contiguous_format


def _new_like(query: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    return torch.empty_like(query, dtype=dtype, memory_format=_memory_format(query))


def _new_context(query: Tensor) -> Tensor:
    return query.new_empty(query.shape[:2], dtype=_accumulator(query))


@_attention.register_fake
def _(query: Tensor, *args) -> tuple[Tensor, Tensor]:
    return _new_like(query), _new_context(query)


@_attention_backward.register_fake
def _(
    grad: Tensor, query: Tensor, key: Tensor, alpha: Tensor, mask: Tensor, *args
) -> tuple[Tensor, ...]:
    scale, beta = args[:2]
    new = [torch.empty_like(x) for x in (alpha, scale, beta)]
    return _new_like(query), _new_like(query, key.dtype), *new


def _save(ctx: FunctionCtx, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:6], output[1])
    ctx.options = inputs[6:]


def _backward(ctx: FunctionCtx, grad: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    query, key, alpha, mask, scale, beta, context = ctx.saved_tensors
    grads = _attention_backward(grad, query, key, alpha, mask, scale, beta, context, *ctx.options)
    grad_query, grad_key, grad_alpha, grad_scale, grad_beta = grads
    return grad_query, grad_key, grad_alpha, None, grad_scale, grad_beta, None, None, None


_attention.register_autograd(_backward, setup_context=_save)
