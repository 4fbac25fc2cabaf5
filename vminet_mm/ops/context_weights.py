"""The weights of the context sum, alpha * M, on the grid of the input.

At the native size the weight of token i for channel n is ``alpha[i] M[i, n]``. At others it is
``Ph^T (alpha M[:, n]) Pw`` with two small matrices Ph (H0, H), Pw (W0, W): the adjoint of adaptive
average pooling, or bicubic interpolation times H0 * W0 / (H * W). Where a row of the mask is whole,
its weight is the same for all channels; only the leading token rows that a mixed row of the mask
reaches need a weight per channel.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class ContextWeights:
    """How alpha and the mask become weights, and the gradient of alpha from theirs.

    Args:
        native: (H0, W0).
        size: (H, W).
        context_resize: ``'pool'`` or ``'interpolate'``, see :func:`vminet_mm.ops.context`.
        spans: ``(mixed, whole)``, see :func:`vminet_mm.ops.mask_spans`.
    """

    native: tuple[int, int]
    size: tuple[int, int]
    context_resize: str
    spans: tuple[int, int]

    @property
    def table_rows(self) -> tuple[int, int]:
        """Rows of tokens with a weight per channel, and the rows of native cells they overlap."""
        mixed_rows = math.ceil(self.spans[0] / self.native[1])
        if self.size == self.native:
            return mixed_rows, mixed_rows
        if self.context_resize == 'interpolate':  # bicubic reaches far; all or nothing is simpler
            return (self.size[0], self.native[0]) if mixed_rows else (0, 0)
        cells, tokens = self.native[0], self.size[0]
        rows = math.ceil(mixed_rows * tokens / cells)
        return rows, math.ceil(rows * cells / tokens)

    def build(self, alpha: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The weights of the tokens from T on and of those before.

        Args:
            alpha: (H0, W0).
            mask: (H0 * W0, D), bool.

        Returns:
            tuple[Tensor, Tensor]: ``shared`` (L - T) and ``table`` (D, T), whose layout in memory
            is up to the caller. T is ``table_rows[0] * W``.
        """
        rows, cell_rows = self.table_rows
        to_rows, to_columns = self._matrices(alpha)
        common = F.pad(alpha.flatten()[: self.spans[1]], (0, alpha.numel() - self.spans[1]))
        common = common.view_as(alpha)
        own = mask.view(*self.native, -1)[:cell_rows].permute(2, 0, 1) * alpha[:cell_rows]
        if to_rows is None:
            return common[rows:].flatten(), own.flatten(1)
        shared = to_rows[:, rows:].t() @ common @ to_columns
        table = to_rows[:cell_rows, :rows].t() @ (own @ to_columns)
        return shared.flatten(), table.flatten(1)

    def alpha_gradient(self, grad_shared: Tensor, grad_table: Tensor, mask: Tensor) -> Tensor:
        """The adjoint of :meth:`build`.

        Args:
            grad_shared: (L - T).
            grad_table: (D, T).
            mask: (H0 * W0, D), bool.

        Returns:
            Tensor: (H0, W0).
        """
        rows, cell_rows = self.table_rows
        to_rows, to_columns = self._matrices(grad_shared)
        common = grad_shared.view(self.size[0] - rows, self.size[1])
        own = grad_table.unflatten(1, (rows, self.size[1]))
        if to_rows is None:
            common = F.pad(common, (0, 0, rows, 0))
        else:
            common = to_rows[:, rows:] @ common @ to_columns.t()
            own = to_rows[:cell_rows, :rows] @ (own @ to_columns.t())
        grad = common.contiguous()
        grad.view(-1)[self.spans[1] :] = 0
        grad[:cell_rows] += (own * mask.view(*self.native, -1)[:cell_rows].permute(2, 0, 1)).sum(0)
        return grad

    def _matrices(self, like: Tensor) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """Ph (H0, H) and Pw (W0, W), or None twice at the native size."""
        if self.size == self.native:
            return None, None
        return tuple(
            self._matrix(cells, tokens, like)
            for cells, tokens in zip(self.native, self.size, strict=True)
        )

    def _matrix(self, cells: int, tokens: int, like: Tensor) -> Tensor:
        options = dict(dtype=like.dtype, device=like.device)
        if self.context_resize == 'pool':
            unit = torch.eye(tokens, **options)
            return F.adaptive_avg_pool2d(unit[None], (cells, tokens))[0]
        unit = torch.eye(cells, **options)[None, None]
        resized = F.interpolate(unit, size=(cells, tokens), mode='bicubic', align_corners=False)
        return resized[0, 0] * (cells / tokens)
