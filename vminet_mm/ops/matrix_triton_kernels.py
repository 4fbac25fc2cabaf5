"""Triton kernels of :mod:`.matrix_triton`; README.md beside this file has the derivation.

A program owns a tile of BLOCK_D channels x BLOCK_L tokens and takes it from one image after the
other: images ``program_id(2)``, ``program_id(2) + num_programs(2)``, ... The weights of the tile
are so read once, and their gradient is summed over images on chip. With ``ONE_TILE`` the tile holds
all tokens: the sums over tokens are then those of the tile, else another kernel made them before.

Arguments that the kernels share:

- ``query, key, out, grad, ...``: (B, D, L) with the strides ``x_b, x_d, x_l`` (query, key) and
  ``y_b, y_d, y_l`` (all others, if not said otherwise).
- The weights alpha M of the context: ``alpha`` (L0), ``mask`` (L0, D) bytes, of which the rows from
  ``mixed`` to ``whole - 1`` are true and those from ``whole`` on false; and the taps of rows and
  columns, see :class:`vminet_mm.ops.context_weights.Taps`.
- ``context`` (B, D): c. ``scale, beta``: one element each.
- ``ACC``: the dtype of all arithmetic.
"""

import triton
import triton.language as tl

from .relu6_triton import relu6, relu6_gradient


@triton.jit
def _visible(mask, cell, n, i, D, L, mixed, whole):
    """M (channels, tokens) of one cell for each token i."""
    read = (n < D)[:, None] & ((i < L) & (cell < mixed))[None, :]
    offset = cell.to(tl.int64)[None, :] * D + n[:, None]
    own = tl.load(mask + offset, mask=read, other=0) != 0
    return own | ((cell >= mixed) & (cell < whole))[None, :]


@triton.jit
def _load(tensor, image, stride, offset, valid, ACC: tl.constexpr):
    """A tile of an image (channels, tokens), 0 where there is none."""
    start = tl.cast(image, tl.int64) * stride
    return tl.load(tensor + start + offset, mask=valid, other=0.0).to(ACC)


@triton.jit
def _store(tensor, image, stride, offset, valid, value):
    """Write a tile of an image."""
    start = tl.cast(image, tl.int64) * stride
    tl.store(tensor + start + offset, value.to(tensor.dtype.element_ty), mask=valid)


@triton.jit
def tile_weights(
    alpha, mask, row_first, row_values, column_first, column_values,
    H, W, W0, row_taps, column_taps, mixed, whole, n, i, D, L,
    BLOCK_D: tl.constexpr, BLOCK_L: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """alpha M (channels, tokens) on the tile of channels n and tokens i."""
    h, w = i // W, i % W
    top = tl.load(row_first + h, mask=i < L, other=0)
    left = tl.load(column_first + w, mask=i < L, other=0)
    weights = tl.zeros((BLOCK_D, BLOCK_L), ACC)
    for r in range(row_taps):
        by_row = tl.load(row_values + r * H + h, mask=i < L, other=0.0)
        for c in range(column_taps):
            cell = (top + r) * W0 + left + c
            value = tl.load(alpha + cell, mask=i < L, other=0.0).to(ACC) * by_row
            value *= tl.load(column_values + c * W + w, mask=i < L, other=0.0)
            visible = _visible(mask, cell, n, i, D, L, mixed, whole)
            weights += tl.where(visible, value[None, :], 0.0)
    return weights


@triton.jit
def context_sums_kernel(
    query, key, alpha, mask, row_first, row_values, column_first, column_values, sums,
    x_b, x_d, x_l, H, W, W0, row_taps, column_taps, mixed, whole, B, D, L,
    BLOCK_D: tl.constexpr, BLOCK_L: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """``sum_i alpha[i] M[i, n] E[i, n]`` over the tokens of a tile: sums (token tiles, B, D)."""
    n = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    i = tl.program_id(0) * BLOCK_L + tl.arange(0, BLOCK_L)
    valid = (n < D)[:, None] & (i < L)[None, :]
    weights = tile_weights(
        alpha, mask, row_first, row_values, column_first, column_values,
        H, W, W0, row_taps, column_taps, mixed, whole, n, i, D, L, BLOCK_D, BLOCK_L, ACC,
    )  # fmt: skip
    x = n[:, None] * x_d + i[None, :] * x_l
    for image in range(tl.program_id(2), B, tl.num_programs(2)):
        q = _load(query, image, x_b, x, valid, ACC)
        k = _load(key, image, x_b, x, valid, ACC)
        row = tl.program_id(0).to(tl.int64) * B + image
        tl.store(sums + row * D + n, tl.sum(weights * (relu6(q) * k), 1), mask=n < D)


@triton.jit
def forward_kernel(
    query, key, alpha, mask, row_first, row_values, column_first, column_values,
    scale, beta, context, out,
    x_b, x_d, x_l, y_b, y_d, y_l, H, W, W0, row_taps, column_taps, mixed, whole, B, D, L,
    BLOCK_D: tl.constexpr, BLOCK_L: tl.constexpr, ACC: tl.constexpr, ONE_TILE: tl.constexpr,
):  # fmt: skip
    """out = ReLU6(scale * c + beta * E). ``context`` is written with ONE_TILE, else read."""
    n = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    i = tl.program_id(0) * BLOCK_L + tl.arange(0, BLOCK_L)
    valid = (n < D)[:, None] & (i < L)[None, :]
    s, b = tl.load(scale).to(ACC), tl.load(beta).to(ACC)
    if ONE_TILE:
        weights = tile_weights(
            alpha, mask, row_first, row_values, column_first, column_values,
            H, W, W0, row_taps, column_taps, mixed, whole, n, i, D, L, BLOCK_D, BLOCK_L, ACC,
        )  # fmt: skip
    x = n[:, None] * x_d + i[None, :] * x_l
    y = n[:, None] * y_d + i[None, :] * y_l
    for image in range(tl.program_id(2), B, tl.num_programs(2)):
        q = _load(query, image, x_b, x, valid, ACC)
        k = _load(key, image, x_b, x, valid, ACC)
        embedding = relu6(q) * k
        if ONE_TILE:
            c = tl.sum(weights * embedding, 1)
            tl.store(context + image * D + n, c, mask=n < D)
        else:
            c = tl.load(context + image * D + n, mask=n < D, other=0.0)
        result = relu6((s * c)[:, None] + b * embedding)
        _store(out, image, y_b, y, valid, result)


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
        q = _load(query, image, x_b, x, valid, ACC)
        k = _load(key, image, x_b, x, valid, ACC)
        embedding = relu6(q) * k
        c = tl.load(context + image * D + n, mask=n < D, other=0.0)
        g = _load(grad, image, y_b, y, valid, ACC)
        g = relu6_gradient((s * c)[:, None] + b * embedding, g)
        row = (tl.program_id(0).to(tl.int64) * B + image) * D
        tl.store(sums + row + n, tl.sum(g, 1), mask=n < D)
        tl.store(sums + second + row + n, tl.sum(g * embedding, 1), mask=n < D)


@triton.jit
def _gradient_sums(sums, g, embedding, image, n, B, D, ONE_TILE: tl.constexpr):
    """The sums of G and of G E over all tokens, of the tile that holds them or made before."""
    if ONE_TILE:
        total, product = tl.sum(g, 1), tl.sum(g * embedding, 1)
    else:
        total = tl.load(sums + image * D + n, mask=n < D, other=0.0)
        product = tl.load(sums + (B + image) * D + n, mask=n < D, other=0.0)
    return total, product


@triton.jit
def _store_field_gradients(
    grad_fields, grad_weights, sum_scale, sum_beta, mask, row_first, column_first,
    H, W, W0, row_taps, column_taps, mixed, whole, n, i, valid, D, L,
):  # fmt: skip
    """Write a program's part of the gradients of alpha, tap by tap, of scale and of beta."""
    fields = H * row_taps * W * column_taps
    split = tl.program_id(2).to(tl.int64)
    row = (split * tl.num_programs(1) + tl.program_id(1)) * (fields + 2)
    h, w = i // W, i % W
    top = tl.load(row_first + h, mask=i < L, other=0)
    left = tl.load(column_first + w, mask=i < L, other=0)
    for r in range(row_taps):
        for t in range(column_taps):
            cell = (top + r) * W0 + left + t
            visible = _visible(mask, cell, n, i, D, L, mixed, whole)
            by_tap = tl.sum(tl.where(visible & valid, grad_weights, 0.0), 0)
            offset = ((h * row_taps + r) * W + w) * column_taps + t
            tl.store(grad_fields + row + offset, by_tap, mask=i < L)
    if tl.program_id(0) == 0:
        tl.store(grad_fields + row + fields, tl.sum(sum_scale, 0))
        tl.store(grad_fields + row + fields + 1, tl.sum(sum_beta, 0))


@triton.jit
def _store_bias_gradients(grad_bias, sum_query, sum_key, n, D):
    """Write a program's part of the gradients of the biases of query and key."""
    split = tl.program_id(2).to(tl.int64)
    offset = (split * tl.num_programs(0) + tl.program_id(0)) * 2 * D + n
    tl.store(grad_bias + offset, sum_query, mask=n < D)
    tl.store(grad_bias + offset + D, sum_key, mask=n < D)


@triton.jit
def backward_kernel(
    query, key, alpha, mask, row_first, row_values, column_first, column_values,
    scale, beta, context, grad, sums, grad_query, grad_key, hidden, grad_bias, grad_fields,
    x_b, x_d, x_l, y_b, y_d, y_l, z_b, z_d, z_l,
    H, W, W0, row_taps, column_taps, mixed, whole, B, D, L,
    BLOCK_D: tl.constexpr, BLOCK_L: tl.constexpr, ACC: tl.constexpr,
    ONE_TILE: tl.constexpr, JOINT: tl.constexpr,
):  # fmt: skip
    """Gradients of query and key (strides z), and those of the parameters, summed on chip.

    ``sums`` (2, B, D): the sums of G and of G E over all tokens, read without ONE_TILE.
    ``grad_fields`` (image splits, channel tiles, F + 2): the gradient of the weights tap by tap,
    see :attr:`vminet_mm.ops.context_weights.ContextWeights.gradient_shape`, those of scale and
    beta behind it. With JOINT, also ``hidden``, the output once more, and ``grad_bias`` (image
    splits, token tiles, 2, D), the sums of the gradients of query and key.
    """
    n = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    i = tl.program_id(0) * BLOCK_L + tl.arange(0, BLOCK_L)
    valid = (n < D)[:, None] & (i < L)[None, :]
    s, b = tl.load(scale).to(ACC), tl.load(beta).to(ACC)
    weights = tile_weights(
        alpha, mask, row_first, row_values, column_first, column_values,
        H, W, W0, row_taps, column_taps, mixed, whole, n, i, D, L, BLOCK_D, BLOCK_L, ACC,
    )  # fmt: skip
    grad_weights = tl.zeros((BLOCK_D, BLOCK_L), ACC)
    sum_query = tl.zeros((BLOCK_D,), ACC)
    sum_key = tl.zeros((BLOCK_D,), ACC)
    sum_scale = tl.zeros((BLOCK_D,), ACC)
    sum_beta = tl.zeros((BLOCK_D,), ACC)
    x = n[:, None] * x_d + i[None, :] * x_l
    y = n[:, None] * y_d + i[None, :] * y_l
    z = n[:, None] * z_d + i[None, :] * z_l
    for image in range(tl.program_id(2), B, tl.num_programs(2)):
        q = _load(query, image, x_b, x, valid, ACC)
        k = _load(key, image, x_b, x, valid, ACC)
        g = _load(grad, image, y_b, y, valid, ACC)
        rectified = relu6(q)
        embedding = rectified * k
        c = tl.load(context + image * D + n, mask=n < D, other=0.0)
        mixture = (s * c)[:, None] + b * embedding
        if JOINT:
            _store(hidden, image, y_b, y, valid, relu6(mixture))
        g = relu6_gradient(mixture, g)
        total, product = _gradient_sums(sums, g, embedding, image, n, B, D, ONE_TILE)
        sum_scale += total * c
        sum_beta += product
        grad_context = (s * total)[:, None]
        grad_weights += grad_context * embedding
        grad_embedding = b * g + grad_context * weights
        grad_q = tl.where(valid, relu6_gradient(q, grad_embedding * k), 0.0)
        _store(grad_query, image, z_b, z, valid, grad_q)
        grad_k = tl.where(valid, grad_embedding * rectified, 0.0)
        _store(grad_key, image, z_b, z, valid, grad_k)
        if JOINT:
            sum_query += tl.sum(grad_q, 1)
            sum_key += tl.sum(grad_k, 1)
    if JOINT:
        _store_bias_gradients(grad_bias, sum_query, sum_key, n, D)
    _store_field_gradients(
        grad_fields, grad_weights, sum_scale, sum_beta, mask, row_first, column_first,
        H, W, W0, row_taps, column_taps, mixed, whole, n, i, valid, D, L,
    )  # fmt: skip
