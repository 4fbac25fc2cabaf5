"""Triton kernels of :mod:`.matrix_project_triton`: W1|W2 and W3 with the attention between them.

As in :mod:`.matrix_triton_kernels` a tile is (channels, tokens), and what is said there of the
weights of the context, of ``context``, ``scale`` and ``beta`` holds here, too. Operands of the
products are rounded to the dtype of Q and K, also where the weights have more bits, and multiplied
as ``PRODUCT``.
"""

import triton
import triton.language as tl

from .matrix_triton_kernels import tile_weights
from .relu6_triton import relu6


@triton.jit
def _query_and_key(
    x, query_weight, query_bias, key_weight, key_bias, x_c, x_l, n, i, C, D, L,
    BLOCK_C: tl.constexpr, DTYPE: tl.constexpr, PRODUCT: tl.constexpr,
):  # fmt: skip
    """``W1 x + b1`` and ``W2 x + b2`` (channels n, tokens i), of x (C, tokens)."""
    rows, columns = (n < D)[:, None], (i < L)[None, :]
    zeros = tl.zeros((n.shape[0], i.shape[0]), tl.float32)
    q = zeros + tl.load(query_bias + n, mask=n < D, other=0.0).to(tl.float32)[:, None]
    k = zeros + tl.load(key_bias + n, mask=n < D, other=0.0).to(tl.float32)[:, None]
    for first in range(0, C, BLOCK_C):
        c = first + tl.arange(0, BLOCK_C)
        u_at = c[:, None] * x_c + i[None, :] * x_l
        u = tl.load(x + u_at, mask=(c < C)[:, None] & columns, other=0.0).to(DTYPE)
        at, inside = n[:, None] * C + c[None, :], rows & (c < C)[None, :]
        w = tl.load(query_weight + at, mask=inside, other=0.0).to(DTYPE)
        q = tl.dot(w.to(PRODUCT), u.to(PRODUCT), q, input_precision='ieee')
        w = tl.load(key_weight + at, mask=inside, other=0.0).to(DTYPE)
        k = tl.dot(w.to(PRODUCT), u.to(PRODUCT), k, input_precision='ieee')
    return q.to(DTYPE), k.to(DTYPE)


@triton.jit
def embed_kernel(
    x, query_weight, query_bias, key_weight, key_bias,
    alpha, mask, row_first, row_values, column_first, column_values, query, key, sums,
    x_b, x_c, x_l, y_b, y_d, y_l, C, H, W, W0, row_taps, column_taps, mixed, whole, B, D, L,
    BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_L: tl.constexpr, PRODUCT: tl.constexpr,
):  # fmt: skip
    """Q and K of a tile (strides y), and its part of the context: sums (token tiles, B, D).

    A program takes its tile of channels and tokens from one image after the other, as in
    :mod:`.matrix_triton_kernels`.
    """
    n = tl.program_id(1) * BLOCK_D + tl.arange(0, BLOCK_D)
    i = tl.program_id(0) * BLOCK_L + tl.arange(0, BLOCK_L)
    valid = (n < D)[:, None] & (i < L)[None, :]
    dtype: tl.constexpr = query.dtype.element_ty
    weights = tile_weights(
        alpha, mask, row_first, row_values, column_first, column_values,
        H, W, W0, row_taps, column_taps, mixed, whole, n, i, D, L, BLOCK_D, BLOCK_L, tl.float32,
    )  # fmt: skip
    y = n[:, None] * y_d + i[None, :] * y_l
    for image in range(tl.program_id(2), B, tl.num_programs(2)):
        own = x + tl.cast(image, tl.int64) * x_b
        start = tl.cast(image, tl.int64) * y_b
        q, k = _query_and_key(
            own, query_weight, query_bias, key_weight, key_bias, x_c, x_l, n, i, C, D, L,
            BLOCK_C, dtype, PRODUCT,
        )  # fmt: skip
        tl.store(query + start + y, q, mask=valid)
        tl.store(key + start + y, k, mask=valid)
        embedding = relu6(q.to(tl.float32)) * k.to(tl.float32)
        part = tl.sum(tl.where(valid, weights * embedding, 0.0), 1)
        row = tl.program_id(0).to(tl.int64) * B + image
        tl.store(sums + row * D + n, part, mask=n < D)


@triton.jit
def project_kernel(
    query, key, context, scale, beta, weight, bias, residual, keep, out,
    x_b, x_d, x_l, y_b, y_c, y_l, C, B, D, L,
    BLOCK_C: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_L: tl.constexpr, PRODUCT: tl.constexpr,
    HAS_RESIDUAL: tl.constexpr, HAS_KEEP: tl.constexpr,
):  # fmt: skip
    """``out = residual + keep[image] (W3 ReLU6(scale c + beta E) + b3)``.

    A tile is of the tokens of all images. ``residual`` has the strides of ``out``.
    """
    o = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    row = tl.program_id(0).to(tl.int64) * BLOCK_L + tl.arange(0, BLOCK_L)
    image, i = row // L, row % L
    present = image < B
    dtype: tl.constexpr = query.dtype.element_ty
    s, b = tl.load(scale).to(tl.float32), tl.load(beta).to(tl.float32)
    x = image * x_b + i * x_l
    total = tl.zeros((BLOCK_C, BLOCK_L), tl.float32)
    for first in range(0, D, BLOCK_D):
        n = first + tl.arange(0, BLOCK_D)
        inside = (n < D)[:, None] & present[None, :]
        at = x[None, :] + n[:, None] * x_d
        q = tl.load(query + at, mask=inside, other=0.0).to(tl.float32)
        k = tl.load(key + at, mask=inside, other=0.0).to(tl.float32)
        c = tl.load(context + image[None, :] * D + n[:, None], mask=inside, other=0.0)
        hidden = relu6(s * c + b * (relu6(q) * k)).to(dtype)
        w_at = o[:, None] * D + n[None, :]
        w = tl.load(weight + w_at, mask=(o < C)[:, None] & (n < D)[None, :], other=0.0).to(dtype)
        total = tl.dot(w.to(PRODUCT), hidden.to(PRODUCT), total, input_precision='ieee')
    total += tl.load(bias + o, mask=o < C, other=0.0).to(tl.float32)[:, None]
    written = (o < C)[:, None] & present[None, :]
    if HAS_KEEP:
        total *= tl.load(keep + image, mask=present, other=0.0).to(tl.float32)[None, :]
    y = (image * y_b + i * y_l)[None, :] + o[:, None] * y_c
    if HAS_RESIDUAL:
        total += tl.load(residual + y, mask=written, other=0.0).to(tl.float32)
    tl.store(out + y, total.to(out.dtype.element_ty), mask=written)
