"""The orders in which the tokens of a map are scanned, as index maps shared by all models.

A name is that of a path, such as ``'row'``, and may end with ``'_reversed'``:

- ``'row'``, ``'column'``: Row after row, or column after column (Vim, VMamba).
- ``'windowK'``: Window after window of K x K tokens, row after row in each (LocalMamba). Edges that
  K does not divide are padded with empty tokens.
- ``'zigzag_row'``, ``'zigzag_column'``: Every second row, or column, backward, so that successive
  tokens are neighbors (PlainMamba).
- ``'atrousK_IJ_row'``, ``'atrousK_IJ_column'``: Every K-th token of every K-th row, from row I and
  column J (EfficientVMamba).
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

REVERSED = '_reversed'


@dataclass(frozen=True)
class ScanOrder:
    """Tokens in the order of a scan, and back.

    Attributes:
        index: Of each token of the scan its location in the map, row by row (T,); the number of the
            map's tokens for an empty one.
        tokens: The number of the map's tokens, L.
        is_row: The order is that of the map already.
    """

    index: Tensor
    tokens: int
    is_row: bool = False

    def take(self, x: Tensor) -> Tensor:
        """Order the tokens of a map: (..., L) to (..., T)."""
        if self.is_row:
            return x
        index = self.index.to(x.device)
        if len(index) > self.tokens:
            x = F.pad(x, (0, 1))
        return x.index_select(-1, index)

    def put(self, y: Tensor) -> Tensor:
        """Bring tokens back to the map: (..., T) to (..., L); 0 where the scan does not go."""
        if self.is_row:
            return y
        index = self.index.to(y.device)
        whole = y.new_zeros(*y.shape[:-1], self.tokens + (len(index) > self.tokens))
        return whole.index_copy(-1, index, y)[..., : self.tokens]


@lru_cache(maxsize=256)
def scan_order(name: str, size: tuple[int, int]) -> ScanOrder:
    """The order of a name for a map of ``size`` tokens, height and width.

    Raises:
        ValueError: If there is no such order.
    """
    index = _path(name.removesuffix(REVERSED), size).flatten()
    if name.endswith(REVERSED):
        index = index.flip(0)
    return ScanOrder(index, size[0] * size[1], is_row=name == 'row')


def scan_steps(name: str, size: tuple[int, int]) -> Tensor:
    """Of each token of an order without gaps the step to it from the one before (T,).

    They are numbered as PlainMamba's embeddings of directions: 0 for the first token, 1 right,
    2 left, 3 up, 4 down.
    """
    index = scan_order(name, size).index
    rows, columns = (
        index.div(size[1], rounding_mode='floor').diff(),
        index.remainder(size[1]).diff(),
    )
    across, along = torch.where(columns > 0, 1, 2), torch.where(rows > 0, 4, 3)
    return F.pad(torch.where(rows == 0, across, along), (1, 0))


def _path(name: str, size: tuple[int, int]) -> Tensor:
    """The locations of the tokens of a path, of any shape."""
    grid = torch.arange(size[0] * size[1]).view(size)
    match = re.fullmatch(r'(?:(zigzag_|atrous(\d)_(\d)(\d)_)?(row|column))|window([1-9]\d*)', name)
    if not match:
        raise ValueError(
            f'unknown scan order {name!r}; such as row, column, window7, zigzag_row or '
            f'atrous2_01_column, each also with {REVERSED} behind it'
        )
    kind, step, first_row, first_column, direction, window = match.groups()
    if window:
        return _windows(grid, int(window))
    if step:
        grid = grid[int(first_row) :: int(step), int(first_column) :: int(step)]
    if direction == 'column':
        grid = grid.t()
    if kind == 'zigzag_':
        grid = grid.clone()
        grid[1::2] = grid[1::2].flip(1)
    return grid


def _windows(grid: Tensor, window: int) -> Tensor:
    """Locations window by window; the number of tokens stands for what pads the map."""
    rows, columns = grid.shape
    padding = (0, -columns % window, 0, -rows % window)
    grid = F.pad(grid, padding, value=grid.numel())
    return grid.unflatten(1, (-1, window)).unflatten(0, (-1, window)).transpose(1, 2)
