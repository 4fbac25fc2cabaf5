"""Triton kernels of :mod:`.recurrent_triton`.

A program scans the tokens of BLOCK_D channels of image ``program_id(2)``, BLOCK_L at a time, over
the segment ``program_id(1)`` of ``segment`` tokens. It starts from its ``state`` (B, segments, D).
With ``TOTALS`` it does no more than to write there what the segment adds to the state.

Arguments that the kernels share:

- ``query, key, out, grad, ...``: (B, D, L) with the strides ``x_b, x_d, x_l`` (query, key) and
  ``y_b, y_d, y_l`` (all others).
- ``alpha, beta`` (L), and ``mask`` (L, D) with the strides ``m_l, m_d``.
- ``INSIDE``: the mask acts inside the sum, not at the read-out.
- ``BELOW_6``: the largest number of the output's dtype below 6. No result below 6 is rounded to
  more, because 6 tells the backward pass that the gradient stops.
- ``ACC``: the dtype of all arithmetic.
"""

import triton
import triton.language as tl

from .relu6_triton import relu6, relu6_gradient


@triton.jit
def forward_kernel(
    query, key, alpha, beta, mask, state, out,
    x_b, x_d, x_l, y_b, y_d, y_l, m_l, m_d, D, L, segment,
    BLOCK_D: tl.constexpr, BLOCK_L: tl.constexpr, ACC: tl.constexpr,
    INSIDE: tl.constexpr, TOTALS: tl.constexpr, BELOW_6: tl.constexpr,
):  # fmt: skip
    """out = ReLU6(M h + beta E), with h the sum of alpha E up to a token."""
    image = tl.program_id(2).to(tl.int64)
    n = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)[None, :]
    row = (image * tl.num_programs(1) + tl.program_id(1)) * D + n
    h = tl.zeros([1, BLOCK_D], ACC)
    if not TOTALS:
        h += tl.load(state + row, mask=n < D, other=0.0)
    first = tl.program_id(1) * segment
    for start in range(first, tl.minimum(first + segment, L), BLOCK_L):
        i = start + tl.arange(0, BLOCK_L)[:, None]
        valid = (i < L) & (n < D)
        x = image * x_b + n * x_d + i * x_l
        q = tl.load(query + x, mask=valid, other=0.0).to(ACC)
        k = tl.load(key + x, mask=valid, other=0.0).to(ACC)
        visible = tl.load(mask + i * m_l + n * m_d, mask=valid, other=0) != 0
        embedding = relu6(q) * k
        added = tl.load(alpha + i, mask=i < L, other=0.0).to(ACC) * embedding
        if INSIDE:
            added = tl.where(visible, added, 0.0)
        if not TOTALS:
            read = h + tl.cumsum(added, 0)
            if not INSIDE:
                read = tl.where(visible, read, 0.0)
            b = tl.load(beta + i, mask=i < L, other=0.0).to(ACC)
            result = relu6(read + b * embedding)
            result = tl.where(result < 6, tl.minimum(result, BELOW_6), result)
            y = image * y_b + n * y_d + i * y_l
            tl.store(out + y, result.to(out.dtype.element_ty), mask=valid)
        h += tl.sum(added, 0)[None, :]
    if TOTALS:
        tl.store(state + row, h, mask=n < D)


@triton.jit
def backward_kernel(
    query, key, alpha, beta, mask, state, out, grad,
    grad_query, grad_key, grad_alpha, grad_beta,
    x_b, x_d, x_l, y_b, y_d, y_l, m_l, m_d, D, L, segment,
    BLOCK_D: tl.constexpr, BLOCK_L: tl.constexpr, ACC: tl.constexpr,
    INSIDE: tl.constexpr, TOTALS: tl.constexpr,
):  # fmt: skip
    """All gradients, from the last token to the first.

    The state is R, the sum of M G over a token and all later ones. ``grad_alpha`` and
    ``grad_beta`` (B, blocks of channels, L) get this program's channels.
    """
    image = tl.program_id(2).to(tl.int64)
    n = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)[None, :]
    row = (image * tl.num_programs(1) + tl.program_id(1)) * D + n
    part = (image * tl.num_programs(0) + tl.program_id(0)) * L
    r = tl.zeros([1, BLOCK_D], ACC)
    if not TOTALS:
        r += tl.load(state + row, mask=n < D, other=0.0)
    first = tl.program_id(1) * segment
    blocks = tl.cdiv(tl.minimum(segment, L - first), BLOCK_L)
    for block in range(blocks):
        i = first + (blocks - 1 - block) * BLOCK_L + tl.arange(0, BLOCK_L)[:, None]
        valid = (i < L) & (n < D)
        y = image * y_b + n * y_d + i * y_l
        clipped = tl.load(out + y, mask=valid, other=0.0).to(ACC)
        g = relu6_gradient(clipped, tl.load(grad + y, mask=valid, other=0.0).to(ACC))
        visible = tl.load(mask + i * m_l + n * m_d, mask=valid, other=0) != 0
        added = g
        if not INSIDE:
            added = tl.where(visible, g, 0.0)
        if not TOTALS:
            grad_state = r + tl.cumsum(added, 0, reverse=True)
            if INSIDE:
                grad_state = tl.where(visible, grad_state, 0.0)
            x = image * x_b + n * x_d + i * x_l
            q = tl.load(query + x, mask=valid, other=0.0).to(ACC)
            k = tl.load(key + x, mask=valid, other=0.0).to(ACC)
            embedding = relu6(q) * k
            by_token = tl.sum(embedding * grad_state, 1)[:, None]
            tl.store(grad_alpha + part + i, by_token, mask=i < L)
            tl.store(grad_beta + part + i, tl.sum(embedding * g, 1)[:, None], mask=i < L)
            a = tl.load(alpha + i, mask=i < L, other=0.0).to(ACC)
            b = tl.load(beta + i, mask=i < L, other=0.0).to(ACC)
            g = a * grad_state + b * g  # from here on, of E
            dq, dk = relu6_gradient(q, g * k), g * relu6(q)
            tl.store(grad_query + y, dq.to(grad_query.dtype.element_ty), mask=valid)
            tl.store(grad_key + y, dk.to(grad_key.dtype.element_ty), mask=valid)
        r += tl.sum(added, 0)[None, :]
    if TOTALS:
        tl.store(state + row, r, mask=n < D)
