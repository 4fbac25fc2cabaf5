"""The selective scan in plain torch without a loop over single tokens.

A segment of S tokens is cut into some sqrt(S) chunks. The state first advances by one token in all
chunks at once, from zero; then the chunks, one after the other, take over the state at the end of
the one before. All factors are products of decays, which do not exceed 1 for negative A: nothing
is divided and no exponential overflows, however long the sequence is.

Segments follow each other, so that the states (B, S, N, D) of one of them, and not those of all L
tokens, are in memory. For the backward pass only the states between segments are kept; it goes
through the segments from the last to the first and computes their states again. With G_t the
gradient of y_t, g_t that of the state h_t, a_t = exp(delta_t A) and x_t = delta_t u_t,

    g_t = C_t G_t + a_{t+1} g_{t+1},   dC_t = sum_d h_t G_t,   dB_t = sum_d g_t x_t,
    dx_t = sum_n B_t g_t,   d(delta_t A) = g_t a_t h_{t-1}

Inside, tensors have the dimensions images, segments, chunks, tokens of a chunk, groups, states,
channels of a group; (B, M, K, T, G, N, D) where all are there.
"""

import math
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.amp import is_autocast_available
from torch.autograd.function import FunctionCtx, once_differentiable

from .reference import check_shapes, step_size

SEGMENT_ELEMENTS = 2**20  # of the states of a segment: 4 MB in float32
MIN_SEGMENT = 16  # tokens, for large batches


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> Tensor:
    """As :func:`vminet_mm.ops.selective_scan.reference.selective_scan`."""
    check_shapes(u, delta, A, B, C, D, delta_bias)
    dtype = torch.promote_types(u.dtype, torch.float32)
    x, delta = u.to(dtype), step_size(delta.to(dtype), delta_bias, delta_softplus)
    groups, states = 1 if B.ndim == 3 else B.shape[1], A.shape[1]
    grid = segments(u.shape[2], u[:, :, 0].numel() * states)
    with _without_autocast(u):
        y = _scan(
            _tokens_first(delta * x, groups, grid),
            _tokens_first(delta, groups, grid),
            A.to(dtype).unflatten(0, (groups, -1)).mT.contiguous(),
            _tokens_first(B.to(dtype).flatten(1, -2), groups, grid),
            _tokens_first(C.to(dtype).flatten(1, -2), groups, grid),
        )
    y = y.flatten(4).flatten(1, 3).transpose(1, 2)[:, :, : u.shape[2]]
    return (y if D is None else torch.addcmul(y, D.to(dtype)[:, None], x)).to(u.dtype)


def segments(tokens: int, elements: int) -> tuple[int, int, int]:
    """How tokens are divided, the last ones being padding.

    Args:
        tokens: Their number.
        elements: Elements of the state of one token, 0 of an empty batch.

    Returns:
        tuple[int, int, int]: Segments, chunks of a segment and tokens of a chunk.
    """
    number = math.ceil(tokens / max(MIN_SEGMENT, SEGMENT_ELEMENTS // max(1, elements)))
    length = math.ceil(tokens / number)
    root = math.sqrt(length)
    chunk = min(
        range(max(1, math.floor(0.7 * root)), math.ceil(1.4 * root) + 1),
        key=lambda size: (math.ceil(length / size) * size, abs(size - root)),
    )
    return number, math.ceil(length / chunk), chunk


def _without_autocast(x: Tensor) -> AbstractContextManager:
    """Compute in the dtypes that are given, on the device of x; meta tensors know no autocast."""
    kind = x.device.type
    return torch.autocast(kind, enabled=False) if is_autocast_available(kind) else nullcontext()


def _tokens_first(x: Tensor, groups: int, grid: tuple[int, int, int]) -> Tensor:
    """(B, G D, L) to (B, M, K, T, G, D). Padding has a step size of 0: the state stays."""
    x = F.pad(x.transpose(1, 2), (0, 0, 0, math.prod(grid) - x.shape[2]))
    return x.unflatten(2, (groups, -1)).unflatten(1, grid).contiguous()


def _scan(x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The output without the skip connection, with the shape of x.

    Args:
        x, delta: (B, M, K, T, G, D), x being the step size times the input.
        A: (G, N, D).
        B, C: (B, M, K, T, G, N).
    """
    inputs = (x, delta, A, B, C)
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        return _Scan.apply(*inputs)
    return _forward(*inputs)[0]


def _forward(
    x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """The output, and the states (B, G, N, D) before each segment."""
    starts, y = [x.new_zeros(len(x), *A.shape)], []
    for i in range(x.shape[1]):
        states = _accumulate(*_terms(x[:, i], delta[:, i], A, B[:, i], starts[-1]))
        y.append((C[:, i, ..., None, :] @ states).squeeze(-2))
        starts.append(states[:, -1, -1].clone())
    return torch.stack(y, 1), starts


def _terms(x: Tensor, delta: Tensor, A: Tensor, B: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """The decays of the tokens of a segment, and what they add to the state, (B, K, T, G, N, D)."""
    decays = (delta[..., None, :] * A).exp_()
    added = B[..., None] * x[..., None, :]
    added[:, 0, 0].addcmul_(decays[:, 0, 0], start)
    return decays, added


def _accumulate(decays: Tensor, states: Tensor, reverse: bool = False) -> Tensor:
    """Add to each state its decay times the state before it, in place; spoils the decays.

    Args:
        decays, states: (B, K, T, ...).
        reverse: Go from the last token to the first.
    """
    step = -1 if reverse else 1
    for before, now in pairwise(range(states.shape[2])[::step]):
        states[:, :, now].addcmul_(decays[:, :, now], states[:, :, before])
        decays[:, :, now].mul_(decays[:, :, before])
    end = slice(0, 1) if reverse else slice(-1, None)
    for before, now in pairwise(range(states.shape[1])[::step]):
        states[:, now].addcmul_(decays[:, now], states[:, before, end])
    return states


class _Scan(torch.autograd.Function):
    """Keeps the inputs and the states between segments."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, x: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor
    ) -> Tensor:
        y, starts = _forward(x, delta, A, B, C)
        ctx.save_for_backward(x, delta, A, B, C, *starts[:-1])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, ...]:
        x, delta, A, B, C, *starts = ctx.saved_tensors
        grads = [torch.empty_like(tensor) for tensor in (x, delta, B, C)]
        grad_A, grad_start = torch.zeros_like(A), torch.zeros_like(starts[0])
        with _without_autocast(x):
            for i in reversed(range(x.shape[1])):
                inputs = [tensor[:, i] for tensor in (x, delta, B, C, grad)]
                *found, grad_start = _backward(A, starts[i], grad_start, *inputs)
                grad_A += found.pop()
                for whole, part in zip(grads, found, strict=True):
                    whole[:, i] = part
        return grads[0], grads[1], grad_A, grads[2], grads[3]


def _backward(
    A: Tensor,
    start: Tensor,
    grad_end: Tensor,
    x: Tensor,
    delta: Tensor,
    B: Tensor,
    C: Tensor,
    grad: Tensor,
) -> tuple[Tensor, ...]:
    """The gradients of a segment: of x, delta, B, C, A, and of the state before it.

    Args:
        A: (G, N, D).
        start, grad_end: The state before the segment, and what the tokens behind it return to the
            state after it: (B, G, N, D).
        x, delta, grad: (B, K, T, G, D).
        B, C: (B, K, T, G, N).
    """
    decays, added = _terms(x, delta, A, B, start)
    states = _accumulate(decays.clone(), added)
    grad_C = torch.einsum('bktgnd,bktgd->bktgn', states, grad)

    grad_states = C[..., None] * grad[..., None, :]
    grad_states[:, -1, -1] += grad_end
    # a token's state goes into the next one's: its gradient decays by the next one's factor
    after = torch.cat([decays.flatten(1, 2)[:, 1:], torch.ones_like(decays[:, :1, 0])], 1)
    _accumulate(after.view_as(decays), grad_states, reverse=True)
    grad_B = torch.einsum('bktgnd,bktgd->bktgn', grad_states, x)
    grad_x = (B[..., None, :] @ grad_states).squeeze(-2)

    grad_exponent = decays.mul_(grad_states)
    grad_start = grad_exponent[:, 0, 0].clone()
    before = torch.cat([start[:, None], states.flatten(1, 2)[:, :-1]], 1).view_as(states)
    grad_exponent.mul_(before)
    grad_delta = (grad_exponent * A).sum(-2)
    grad_A = grad_exponent.mul_(delta[..., None, :]).sum((0, 1, 2))
    return grad_x, grad_delta, grad_B, grad_C, grad_A, grad_start
