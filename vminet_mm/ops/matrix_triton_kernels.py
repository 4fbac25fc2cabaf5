"""Triton kernels of :mod:`.matrix_triton`; README.md beside this file has the derivation.

A program owns a tile of BLOCK_D channels x BLOCK_L tokens and takes it from one image after the
other: images ``program_id(2)``, ``program_id(2) + num_programs(2)``, ... The weights of the tile
are so read once, and their gradient is summed over images on chip. With ``ONE_TILE`` the tile holds
all tokens: the sums over tokens are then those of the tile, else another kernel made them before.

Arguments that the kernels share:

- ``query, key, out, grad, ...``: (B, D, L) with the strides ``x_b, x_d, x_l`` (query, key) and
  ``y_b, y_d, y_l`` (all others).
- The weights alpha M of the context: ``table`` (D, T) with the strides ``t_d, t_l`` for the first T
  tokens and ``shared`` (L - T), the same for all channels, for the others.
- ``context`` (B, D): c. ``scale, beta``: one element each.
- ``ACC``: the dtype of all arithmetic.
"""

import triton
import triton.language as tl

from .relu6_triton import relu6, relu6_gradient


@triton.jit
def _weights(shared, table, t_d, t_l, n, i, D, L, T, ACC: tl.constexpr):
    """alpha M (channels, tokens) on the tile of channels n and tokens i."""
    own = (n < D)[:, None] & (i < T)[None, :]
    own_weights = tl.load(table + n[:, None] * t_d + i[None, :] * t_l, mask=own, other=0.0)
    shared_weights = tl.load(shared + i - T, mask=(i >= T) & (i < L), other=0.0)
    return own_weights.to(ACC) + shared_weights.to(ACC)[None, :]


@triton.jit
def context_sums_kernel(
    query, key, shared, table, sums,
    x_b, x_d, x_l, t_d, t_l, B, D, L, T,
    BLOCK_D: tl.constexpr, BLOCK_L: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """``sum_i alpha[i] M[i, n] E[i, n]`` over the tokens of a tile: sums (token tiles, B, D)."""
    n = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    i = tl.program_id(0) * BLOCK_L + tl.arange(0, BLOCK_L)
    valid = (n < D)[:, None] & (i < L)[None, :]
    weights = _weights(shared, table, t_d, t_l, n, i, D, L, T, ACC)
    x = n[:, None] * x_d + i[None, :] * x_l
    for image in range(tl.program_id(2), B, tl.num_programs(2)):
        start = tl.cast(image, tl.int64) * x_b
        q = tl.load(query + start + x, mask=valid, other=0.0).to(ACC)
        k = tl.load(key + start + x, mask=valid, other=0.0).to(ACC)
        row = tl.program_id(0).to(tl.int64) * B + image
        tl.store(sums + row * D + n, tl.sum(weights * (relu6(q) * k), 1), mask=n < D)


@triton.jit
def forward_kernel(
    query, key, shared, table, scale, beta, context, out,
    x_b, x_d, x_l, y_b, y_d, y_l, t_d, t_l, B, D, L, T,
    BLOCK_D: tl.constexpr, BLOCK_L: tl.constexpr, ACC: tl.constexpr, ONE_TILE: tl.constexpr,
):  # fmt: skip
    """out = ReLU6(scale * c + beta * E). ``context`` is written with ONE_TILE, else read."""
    n = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    i = tl.program_id(0) * BLOCK_L + tl.arange(0, BLOCK_L)
    valid = (n < D)[:, None] & (i < L)[None, :]
    s, b = tl.load(scale).to(ACC), tl.load(beta).to(ACC)
    if ONE_TILE:
        weights = _weights(shared, table, t_d, t_l, n, i, D, L, T, ACC)
    x = n[:, None] * x_d + i[None, :] * x_l
    y = n[:, None] * y_d + i[None, :] * y_l
    for image in range(tl.program_id(2), B, tl.num_programs(2)):
        start = tl.cast(image, tl.int64) * x_b
        start_y = tl.cast(image, tl.int64) * y_b
        q = tl.load(query + start + x, mask=valid, other=0.0).to(ACC)
        k = tl.load(key + start + x, mask=valid, other=0.0).to(ACC)
        embedding = relu6(q) * k
        if ONE_TILE:
            c = tl.sum(weights * embedding, 1)
            tl.store(context + image * D + n, c, mask=n < D)
        else:
            c = tl.load(context + image * D + n, mask=n < D, other=0.0)
        result = relu6((s * c)[:, None] + b * embedding)
        tl.store(out + start_y + y, result.to(out.dtype.element_ty), mask=valid)


@triton.jit
def gradient_sums_kernel(
    query, key, scale, beta, context, grad, sums,
    x_b, x_d, x_l, y_b, y_d, y_l, B, D, L,
    BLOCK_D: tl.constexpr, BLOCK_L: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Sums of G and of G E over the tokens of a tile: sums (2, token tiles, B, D)."""
    n = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    i = tl.program_id(0) * BLOCK_L + tl.arange(0, BLOCK_L)
    valid = (n < D)[:, None] & (i < L)[None, :]
    s, b = tl.load(scale).to(ACC), tl.load(beta).to(ACC)
    second = tl.num_programs(0).to(tl.int64) * B * D
    x = n[:, None] * x_d + i[None, :] * x_l
    y = n[:, None] * y_d + i[None, :] * y_l
    for image in range(tl.program_id(2), B, tl.num_programs(2)):
        start = tl.cast(image, tl.int64) * x_b
        start_y = tl.cast(image, tl.int64) * y_b
        q = tl.load(query + start + x, mask=valid, other=0.0).to(ACC)
        k = tl.load(key + start + x, mask=valid, other=0.0).to(ACC)
        embedding = relu6(q) * k
        c = tl.load(context + image * D + n, mask=n < D, other=0.0)
        g = tl.load(grad + start_y + y, mask=valid, other=0.0).to(ACC)
        g = relu6_gradient((s * c)[:, None] + b * embedding, g)
        row = (tl.program_id(0).to(tl.int64) * B + image) * D
        tl.store(sums + row + n, tl.sum(g, 1), mask=n < D)
        tl.store(sums + second + row + n, tl.sum(g * embedding, 1), mask=n < D)


@triton.jit
def backward_kernel(
    query, key, shared, table, scale, beta, context, grad, sums,
    grad_query, grad_key, grad_shared, grad_table,
    x_b, x_d, x_l, y_b, y_d, y_l, t_d, t_l, B, D, L, T,
    BLOCK_D: tl.constexpr, BLOCK_L: tl.constexpr, ACC: tl.constexpr, ONE_TILE: tl.constexpr,
):  # fmt: skip
    """Gradients of query, key and the weights, the latter summed over the images of a program.

    ``sums`` (2, B, D): the sums of G and of G E over all tokens, written with ONE_TILE, else read.
    ``grad_table`` (image splits, D, T) has the strides ``D * T, t_d, t_l``; ``grad_shared`` is
    (image splits, channel tiles, L - T).
    """
    n = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    i = tl.program_id(0) * BLOCK_L + tl.arange(0, BLOCK_L)
    valid = (n < D)[:, None] & (i < L)[None, :]
    s, b = tl.load(scale).to(ACC), tl.load(beta).to(ACC)
    weights = _weights(shared, table, t_d, t_l, n, i, D, L, T, ACC)
    grad_weights = tl.zeros((BLOCK_D, BLOCK_L), ACC)
    x = n[:, None] * x_d + i[None, :] * x_l
    y = n[:, None] * y_d + i[None, :] * y_l
    for image in range(tl.program_id(2), B, tl.num_programs(2)):
        start = tl.cast(image, tl.int64) * x_b
        start_y = tl.cast(image, tl.int64) * y_b
        q = tl.load(query + start + x, mask=valid, other=0.0).to(ACC)
        k = tl.load(key + start + x, mask=valid, other=0.0).to(ACC)
        g = tl.load(grad + start_y + y, mask=valid, other=0.0).to(ACC)
        rectified = relu6(q)
        embedding = rectified * k
        c = tl.load(context + image * D + n, mask=n < D, other=0.0)
        g = relu6_gradient((s * c)[:, None] + b * embedding, g)
        if ONE_TILE:
            total = tl.sum(g, 1)
            tl.store(sums + image * D + n, total, mask=n < D)
            tl.store(sums + (B + image) * D + n, tl.sum(g * embedding, 1), mask=n < D)
        else:
            total = tl.load(sums + image * D + n, mask=n < D, other=0.0)
        grad_context = (s * total)[:, None]
        grad_weights += grad_context * embedding
        grad_embedding = b * g + grad_context * weights
        grad_q = relu6_gradient(q, grad_embedding * k)
        tl.store(grad_query + start_y + y, grad_q.to(grad_query.dtype.element_ty), mask=valid)
        grad_k = grad_embedding * rectified
        tl.store(grad_key + start_y + y, grad_k.to(grad_key.dtype.element_ty), mask=valid)

    split = tl.program_id(2).to(tl.int64)
    own = (n < D)[:, None] & (i < T)[None, :]
    offset = split * D * T + n[:, None] * t_d + i[None, :] * t_l
    tl.store(grad_table + offset, grad_weights, mask=own)
    row = split * tl.num_programs(1) + tl.program_id(1)
    offset = row * (L - T) + i - T
    tl.store(grad_shared + offset, tl.sum(grad_weights, 0), mask=(i >= T) & (i < L))
