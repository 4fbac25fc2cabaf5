"""From U to ``X + W3 attention``, in two kernels that keep the attention's products on chip.

The first computes Q and K, and sums the context while it has them; the second reads them once for
the attention, W3, the drop path and the residual connection. In half precision and channels_last,
where a tile of channels and tokens lies as a matrix product wants it. The backward pass is that of
:mod:`.matrix_triton`. See README.md beside this file.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import matrix_triton
from .matrix_project_kernels import embed_kernel, project_kernel
from .matrix_triton import context_inputs, separable_attention
from .pointwise import is_last, pointwise_dtype
from .project import project_apart

HALVES = (torch.float16, torch.bfloat16)
EMBED_TILE = 8192  # elements of Q in a tile
MAX_TOKENS = 256  # of an image that one tile holds; larger ones are cut into tiles of half as many
PROJECT_TILE = 16384  # elements of the output in a tile
ELEMENTS_PER_THREAD = 64  # of an accumulator


def can_fuse(x: Tensor) -> bool:
    """Whether the kernels take U (B, C, H, W): its layout, and the dtype it is computed in."""
    runs = x.is_cuda or matrix_triton.INTERPRETED
    return runs and x.numel() > 0 and pointwise_dtype(x) in HALVES and is_last(x)


def project(
    x: Tensor,
    linears: tuple[Tensor, ...],
    fields: tuple[Tensor, Tensor, Tensor, Tensor],
    residual: Tensor | None,
    keep: Tensor | None,
    context_resize: str,
    spans: tuple[int, int],
) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`vminet_mm.ops.matrix_torch.project`."""
    if not can_fuse(x):
        return project_apart(
            matrix_triton.attend, x, linears, fields, residual, keep, context_resize, spans
        )
    alpha, mask, scale, beta = fields
    dtype = pointwise_dtype(x)
    with torch.autocast(x.device.type, enabled=False):
        query_key, context = _embed(x, *linears[:4], alpha, mask, dtype, context_resize, *spans)
        out = _project(query_key, context, scale, beta, *linears[4:], residual, keep)
    return out, query_key, context


@torch.library.custom_op('vminet_mm::embed', mutates_args=())
def _embed(
    x: Tensor,
    query_weight: Tensor,
    query_bias: Tensor,
    key_weight: Tensor,
    key_bias: Tensor,
    alpha: Tensor,
    mask: Tensor,
    dtype: torch.dtype,
    context_resize: str,
    mixed: int,
    whole: int,
) -> tuple[Tensor, Tensor]:
    """Q and K as one (B, 2D, H, W), and the context (B, D)."""
    query_key = _new_query_key(x, query_weight, dtype)
    query, key = query_key.flatten(2).chunk(2, 1)
    tiles, options = embed_grid(query)
    inputs, sizes = context_inputs(query_key, alpha, mask, context_resize, mixed, whole)
    sums = x.new_empty(tiles[0], *query.shape[:2], dtype=torch.float32)
    weights = [t.contiguous() for t in (query_weight, query_bias, key_weight, key_bias)]
    with torch.cuda.device_of(x):
        embed_kernel[tiles](
            x, *weights, *inputs, query, key, sums,
            *x.flatten(2).stride(), *query.stride(), x.shape[1], *sizes, *query.shape,
            **options, PRODUCT=_product(dtype),
        )  # fmt: skip
    return query_key, sums.sum(0) if tiles[0] > 1 else sums[0]


@torch.library.custom_op('vminet_mm::project', mutates_args=())
def _project(
    query_key: Tensor,
    context: Tensor,
    scale: Tensor,
    beta: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor | None,
    keep: Tensor | None,
) -> Tensor:
    """The block's output (B, C, H, W)."""
    out = _new_output(query_key, weight, residual)
    query, key = query_key.flatten(2).chunk(2, 1)
    if residual is not None:
        residual = residual.contiguous(memory_format=torch.channels_last)
    images, _, tokens = query.shape
    tiles, options = project_grid(images * tokens, len(weight))
    with torch.cuda.device_of(query):
        project_kernel[tiles](
            query, key, context, scale, beta, weight.contiguous(), bias.contiguous(),
            residual, keep, out,
            *query.stride(), *out.flatten(2).stride(), len(weight), *query.shape,
            **options, PRODUCT=_product(query.dtype),
            HAS_RESIDUAL=residual is not None, HAS_KEEP=keep is not None,
        )  # fmt: skip
    return out


def embed_grid(query: Tensor) -> tuple[tuple[int, int, int], dict]:
    """Token tiles, channel tiles and image splits for a query (B, D, L), and the tile."""
    images, channels, tokens = query.shape
    whole = triton.next_power_of_2(tokens)
    block_l = max(16, whole if whole <= MAX_TOKENS else MAX_TOKENS // 2)
    block_d = max(16, min(64, EMBED_TILE // block_l, triton.next_power_of_2(channels)))
    tiles = triton.cdiv(tokens, block_l), triton.cdiv(channels, block_d)
    splits = min(images, triton.cdiv(matrix_triton.PROGRAMS, tiles[0] * tiles[1]))
    options = dict(BLOCK_C=32, BLOCK_D=block_d, BLOCK_L=block_l, num_stages=2)
    return (*tiles, splits), options | dict(num_warps=_warps(2 * block_d * block_l))


def project_grid(rows: int, channels: int) -> tuple[tuple[int, int], dict]:
    """Tiles of the rows, which are the tokens of all images, and of the channels; the tile."""
    block_c = max(16, min(1024, triton.next_power_of_2(channels)))
    block_l = max(16, min(128, PROJECT_TILE // block_c))
    tiles = triton.cdiv(rows, block_l), triton.cdiv(channels, block_c)
    options = dict(BLOCK_C=block_c, BLOCK_D=32, BLOCK_L=block_l, num_stages=2)
    return tiles, options | dict(num_warps=_warps(block_c * block_l))


def _product(dtype: torch.dtype) -> tl.dtype:
    """Triton's interpreter multiplies the bits of bfloat16 as whole numbers."""
    if dtype == torch.bfloat16:
        return tl.float32 if matrix_triton.INTERPRETED else tl.bfloat16
    return tl.float16


def _warps(elements: int) -> int:
    return max(4, min(8, elements // (32 * ELEMENTS_PER_THREAD)))


def _new_query_key(x: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    shape = len(x), 2 * len(weight), *x.shape[2:]
    return torch.empty(shape, dtype=dtype, device=x.device, memory_format=torch.channels_last)


def _new_output(query_key: Tensor, weight: Tensor, residual: Tensor | None) -> Tensor:
    dtype = query_key.dtype
    if residual is not None:
        dtype = torch.promote_types(dtype, residual.dtype)
    shape = len(query_key), len(weight), *query_key.shape[2:]
    return torch.empty(
        shape, dtype=dtype, device=query_key.device, memory_format=torch.channels_last
    )


@_embed.register_fake
def _(x: Tensor, query_weight: Tensor, *args) -> tuple[Tensor, Tensor]:
    context = x.new_empty((len(x), len(query_weight)), dtype=torch.float32)
    return _new_query_key(x, query_weight, args[5]), context


@_project.register_fake
def _(
    query_key: Tensor, context: Tensor, scale: Tensor, beta: Tensor, weight: Tensor, *args
) -> Tensor:
    return _new_output(query_key, weight, args[1])


separable_attention.passes = (project, matrix_triton.attend_backward, can_fuse)
