"""The matrix form of VMI-SA, fused with Triton.

The result is that of :mod:`.reference`. Where all tokens of a few channels fit on chip, one kernel
each way reads Q and K once; else two do. The backward pass computes E again from Q and K. Under
``torch.compile`` it is the plain form, which a compiler fuses with what stands around it. See
README.md beside this file for the derivation.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import FunctionCtx

from . import matrix_torch
from .context_weights import ContextWeights, context_weights
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
ELEMENTS_PER_THREAD = 8  # of a tile; more of them spill into local memory
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
    if torch.compiler.is_compiling() and query.shape[2:] == alpha.shape:
        return matrix_torch.plain_attention(query, key, alpha, mask, scale, beta)
    mixed, whole = spans or (len(mask), len(mask))
    return _attention(query, key, alpha, mask, scale, beta, context_resize, mixed, whole)[0]


def attend(
    query_key: Tensor,
    alpha: Tensor,
    mask: Tensor,
    scale: Tensor,
    beta: Tensor,
    context_resize: str,
    spans: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """As :func:`vminet_mm.ops.matrix_torch.attend`."""
    fields = alpha, mask, scale, beta
    if not (query_key.is_cuda or INTERPRETED):
        return matrix_torch.attend(query_key, *fields, context_resize, spans)
    return _attention(*query_key.chunk(2, 1), *fields, context_resize, *spans)


def attend_backward(
    grad: Tensor,
    query_key: Tensor,
    alpha: Tensor,
    mask: Tensor,
    scale: Tensor,
    beta: Tensor,
    context: Tensor,
    context_resize: str,
    spans: tuple[int, int],
) -> tuple[Tensor | None, ...]:
    """As :func:`vminet_mm.ops.matrix_torch.attend_backward`, with the gradient of the bias."""
    fields = alpha, mask, scale, beta
    if not (query_key.is_cuda or INTERPRETED):
        return matrix_torch.attend_backward(
            grad, query_key, *fields, context, context_resize, spans
        )
    grad_query_key, grad_bias, hidden, grad_fields = _joint_backward(
        grad, query_key, *fields, context, context_resize, *spans
    )
    return grad_query_key, grad_bias, hidden, *_split(grad_fields, alpha, scale, beta)


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
    query, key = _flat(query, key)
    grid = choose_grid(query, MAX_TILE)
    inputs, sizes = context_inputs(out, alpha, mask, context_resize, mixed, whole)
    with torch.cuda.device_of(query):
        if not grid.one_tile:
            sums = context.new_empty(grid.tiles[0], *context.shape)
            context_sums_kernel[grid.tiles](
                query, key, *inputs, sums, *query.stride(), *sizes, *query.shape, **grid.options
            )
            context = sums.sum(0)
        forward_kernel[grid.tiles](
            query, key, *inputs, scale, beta, context, out,
            *query.stride(), *out.flatten(2).stride(), *sizes, *query.shape,
            **grid.options, ONE_TILE=grid.one_tile,
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
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of query and key, and those of alpha, scale and beta in one (H0 * W0 + 2)."""
    grads = _new_like(query), _new_like(query, key.dtype)
    grad_fields = _run_backward(
        grads, None, None, grad, query, key, alpha, mask, scale, beta, context,
        context_resize, mixed, whole,
    )  # fmt: skip
    return *grads, grad_fields


@torch.library.custom_op('vminet_mm::separable_attention_joint_backward', mutates_args=())
def _joint_backward(
    grad: Tensor,
    query_key: Tensor,
    alpha: Tensor,
    mask: Tensor,
    scale: Tensor,
    beta: Tensor,
    context: Tensor,
    context_resize: str,
    mixed: int,
    whole: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradient of query and key (B, 2D, H, W), its sum (2D), the output once more, and the
    gradients of alpha, scale and beta in one (H0 * W0 + 2).
    """
    query, key = query_key.chunk(2, 1)
    grad_query_key, hidden = _new_like(query_key), _new_like(query)
    tiles = choose_grid(_flat(query, key)[0], MAX_TILE // 2).tiles if query.numel() else (0,) * 3
    sums = context.new_empty(tiles[2] * tiles[0], query_key.shape[1])
    grad_fields = _run_backward(
        grad_query_key.chunk(2, 1), hidden, sums, grad, query, key, alpha, mask, scale, beta,
        context, context_resize, mixed, whole,
    )  # fmt: skip
    return grad_query_key, sums.sum(0), hidden, grad_fields


def _run_backward(
    grads: tuple[Tensor, Tensor],
    hidden: Tensor | None,
    grad_bias: Tensor | None,
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
) -> Tensor:
    """Write the first three, and return the gradients of alpha, scale and beta."""
    if not query.numel():
        return context.new_zeros(alpha.numel() + 2)
    inputs, sizes = context_inputs(query, alpha, mask, context_resize, mixed, whole)
    weights = _weights_of(query, alpha, context_resize)
    grad = grad.contiguous(memory_format=_memory_format(query)).flatten(2)
    query, key = _flat(query, key)
    grid = choose_grid(query, MAX_TILE // 2)  # Q, K, G and dw are held
    sums = context
    fields = weights.gradient_shape[0] * weights.gradient_shape[1]
    by_tap = context.new_empty(grid.tiles[2] * grid.tiles[1], fields + 2)
    with torch.cuda.device_of(query):
        if not grid.one_tile:
            sums = context.new_empty(2, grid.tiles[0], *context.shape)
            gradient_sums_kernel[grid.tiles](
                query, key, scale, beta, context, grad, sums,
                *query.stride(), *grad.stride(), *query.shape, **grid.options,
            )  # fmt: skip
            sums = sums.sum(1)
        backward_kernel[grid.tiles](
            query, key, *inputs, scale, beta, context, grad, sums, *grads,
            hidden, grad_bias, by_tap,
            *query.stride(), *grad.stride(), *grads[0].flatten(2).stride(), *sizes, *query.shape,
            **grid.options, ONE_TILE=grid.one_tile, JOINT=hidden is not None,
        )  # fmt: skip
    by_tap = by_tap.sum(0)
    if weights.size == weights.native:
        return by_tap
    grad_alpha = weights.alpha_gradient(by_tap[:-2].view(weights.gradient_shape))
    return torch.cat([grad_alpha.flatten(), by_tap[-2:]])


@dataclass(frozen=True)
class Grid:
    """How a pass is cut into programs.

    Attributes:
        tiles: Token tiles, channel tiles, image splits.
        one_tile: Whether one tile holds all tokens.
        options: Size of the tile, dtype of the arithmetic, number of warps.
    """

    tiles: tuple[int, int, int]
    one_tile: bool
    options: dict


def choose_grid(query: Tensor, max_tile: int) -> Grid:
    """Tile and grid for a query (B, D, L) by its strides."""
    by_channel = query.stride(1) == 1 and query.stride(2) != 1
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
        ACC=tl.float64 if _accumulator(query) == torch.float64 else tl.float32,
        num_warps=max(1, min(16, block_d * block_l // (32 * ELEMENTS_PER_THREAD))),
    )
    return Grid((*tiles, splits), one_tile, options)


def _flat(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Query and key (B, D, L) with the same strides, copied only if they must be."""
    query, key = query.flatten(2), key.flatten(2)
    if query.stride() != key.stride():
        query, key = query.contiguous(), key.contiguous()
    return query, key


def context_inputs(
    query: Tensor, alpha: Tensor, mask: Tensor, context_resize: str, mixed: int, whole: int
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """The tensors and the numbers that the kernels find the weights of the context by."""
    weights = _weights_of(query, alpha, context_resize)
    rows, columns = weights.rows, weights.columns
    taps = rows.first, rows.values, columns.first, columns.values
    sizes = *weights.size, weights.native[1], rows.count, columns.count, mixed, whole
    return (alpha.contiguous(), mask.contiguous().view(torch.uint8), *taps), sizes


def _weights_of(query: Tensor, alpha: Tensor, context_resize: str) -> ContextWeights:
    return context_weights(
        tuple(alpha.shape), tuple(query.shape[2:]), context_resize, query.device,
        _accumulator(query),
    )  # fmt: skip


def _split(
    grad_fields: Tensor, alpha: Tensor, scale: Tensor, beta: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of alpha, scale and beta out of one vector."""
    parts = grad_fields.to(alpha.dtype).split([alpha.numel(), 1, 1])  # of one dtype, as a rule
    fields = alpha, scale, beta
    return tuple(g.view_as(x).to(x.dtype) for g, x in zip(parts, fields, strict=True))


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
    context = args[2]
    return _new_like(query), _new_like(query, key.dtype), context.new_empty(alpha.numel() + 2)


@_joint_backward.register_fake
def _(grad: Tensor, query_key: Tensor, alpha: Tensor, mask: Tensor, *args) -> tuple[Tensor, ...]:
    context = args[2]
    hidden = _new_like(query_key.chunk(2, 1)[0])
    bias, fields = context.new_empty(query_key.shape[1]), context.new_empty(alpha.numel() + 2)
    return _new_like(query_key), bias, hidden, fields


def _save(ctx: FunctionCtx, inputs: tuple, output: tuple[Tensor, Tensor]) -> None:
    """Keep what the backward pass reads."""
    ctx.save_for_backward(*inputs[:6], output[1])
    ctx.options = inputs[6:]


def _backward(ctx: FunctionCtx, grad: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
    query, key, alpha, mask, scale, beta, context = ctx.saved_tensors
    *grads, grad_fields = _attention_backward(
        grad, query, key, alpha, mask, scale, beta, context, *ctx.options
    )
    grad_alpha, grad_scale, grad_beta = _split(grad_fields, alpha, scale, beta)
    return *grads, grad_alpha, None, grad_scale, grad_beta, None, None, None


_attention.register_autograd(_backward, setup_context=_save)
