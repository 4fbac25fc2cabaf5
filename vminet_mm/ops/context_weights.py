"""The weights of the context sum, alpha * M, on the grid of the input.

At the native size the weight of token i for channel n is ``alpha[i] M[i, n]``. At others it is
``Ph^T (alpha M[:, n]) Pw`` with two matrices Ph (H0, H), Pw (W0, W): the adjoint of adaptive
average pooling, or bicubic interpolation times H0 * W0 / (H * W). Their columns are zero but for a
few rows that follow one another, so that a token's weight is a sum over few cells, its taps: a
kernel reads alpha and M there, and nothing of the size of the image is built.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Taps:
    """The cells along one side of the grid that a token's weight is made of.

    Attributes:
        first: The first of them (N), int32.
        values: Their weights (T, N), of the cells from ``first`` on.
        scatter: The same as a matrix (N0, N * T) that brings what was found tap by tap to the
            cells, float64.
    """

    first: Tensor
    values: Tensor
    scatter: Tensor

    @property
    def count(self) -> int:
        """T."""
        return len(self.values)


@dataclass(frozen=True, eq=False)
class ContextWeights:
    """How alpha and the mask become weights, and the gradient of alpha from theirs.

    Attributes:
        native: (H0, W0).
        size: (H, W).
        rows: The taps of a token's row.
        columns: The taps of a token's column.
    """

    native: tuple[int, int]
    size: tuple[int, int]
    rows: Taps
    columns: Taps

    @property
    def gradient_shape(self) -> tuple[int, int]:
        """Of the gradient tap by tap: (H * T, W * T), T those of rows and of columns."""
        return self.size[0] * self.rows.count, self.size[1] * self.columns.count

    def build(self, alpha: Tensor, mask: Tensor) -> Tensor:
        """The weights of all tokens, as the kernels find them tile by tile.

        Args:
            alpha: (H0, W0).
            mask: (H0 * W0, D), bool.

        Returns:
            Tensor: (D, H, W).
        """
        field = mask.t().unflatten(1, self.native) * alpha
        return spread(field, self.rows, self.columns)

    def alpha_gradient(self, by_tap: Tensor) -> Tensor:
        """The adjoint of :meth:`build`, from ``sum_n M[g, n] dw[i, n]`` for each tap g of token i.

        The products are in float64, which no TF32 shortens.

        Args:
            by_tap: See :attr:`gradient_shape`.

        Returns:
            Tensor: (H0, W0).
        """
        if self.size == self.native:
            return by_tap
        grad = self.rows.scatter @ by_tap.double() @ self.columns.scatter.t()
        return grad.to(by_tap.dtype)


def spread(x: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """``Ph^T x Pw`` (..., H, W) of x (..., H0, W0), without a matrix product, in fixed order."""
    x = sum(
        x.index_select(-2, rows.first + tap) * rows.values[tap, :, None]
        for tap in range(rows.count)
    )
    return sum(
        x.index_select(-1, columns.first + tap) * columns.values[tap]
        for tap in range(columns.count)
    )


@lru_cache(maxsize=256)
def context_weights(
    native: tuple[int, int],
    size: tuple[int, int],
    context_resize: str,
    device: torch.device,
    dtype: torch.dtype,
) -> ContextWeights:
    """The weights of a grid, which blocks and iterations share.

    Args:
        native: (H0, W0).
        size: (H, W).
        context_resize: ``'pool'`` or ``'interpolate'``, see :func:`vminet_mm.ops.context`.
        device: Of the tensors.
        dtype: Of the values.
    """
    with torch.inference_mode(False):
        sides = [
            _taps(_matrix(cells, tokens, context_resize), device, dtype)
            for cells, tokens in zip(native, size, strict=True)
        ]
    return ContextWeights(native, size, *sides)


def tap_counts(native: Sequence[int], size: Sequence[int], context_resize: str) -> tuple[int, int]:
    """The taps of rows and of columns."""
    pairs = zip(native, size, strict=True)
    return tuple(len(_runs(_matrix(*pair, context_resize))[1]) for pair in pairs)


def _matrix(cells: int, tokens: int, context_resize: str) -> Tensor:
    """Ph or Pw (N0, N), float64."""
    if cells == tokens:
        return torch.eye(cells, dtype=torch.float64)
    if context_resize == 'pool':
        unit = torch.eye(tokens, dtype=torch.float64)
        return F.adaptive_avg_pool2d(unit[None], (cells, tokens))[0]
    unit = torch.eye(cells, dtype=torch.float64)[None, None]
    resized = F.interpolate(unit, size=(cells, tokens), mode='bicubic', align_corners=False)
    return resized[0, 0] * (cells / tokens)


def _runs(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Where the run of each column begins (N), and its values (T, N)."""
    cells = len(matrix)
    present = matrix != 0
    first = present.int().argmax(0)
    last = cells - 1 - present.flip(0).int().argmax(0)
    taps = torch.arange(int((last - first).max()) + 1)
    first = first.clamp(max=cells - len(taps))  # so that all taps are cells
    return first, matrix.gather(0, first + taps[:, None])


def _taps(matrix: Tensor, device: torch.device, dtype: torch.dtype) -> Taps:
    first, values = _runs(matrix)
    taps, tokens = values.shape
    scatter = torch.zeros(len(matrix), tokens, taps, dtype=matrix.dtype)
    scatter.scatter_(0, (first[:, None] + torch.arange(taps))[None], values.t()[None])
    return Taps(first.int().to(device), values.to(device, dtype), scatter.flatten(1).to(device))
