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
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

REVERSED = '_reversed'


@dataclass(frozen=True, eq=False)
class Table:
    """Whole numbers to index with, which models share.

    A tensor would be one of the mode in which it was made: of inference, which no training can
    use, or without values, of an export. So they are kept as an array, and as tensors only where
    no mode took part.

    Attributes:
        values: The numbers, int64.
    """

    values: np.ndarray
    _tensors: dict[torch.device, Tensor] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.values)

    def beside(self, x: Tensor) -> Tensor:
        """The numbers as a tensor on the device of ``x``."""
        if torch.compiler.is_compiling() or type(x) is not Tensor:  # a graph has a copy of its own
            return torch.tensor(self.values, device=x.device)
        if x.device not in self._tensors:
            with torch.inference_mode(False):
                self._tensors[x.device] = torch.from_numpy(self.values).to(x.device)
        return self._tensors[x.device]


@dataclass(frozen=True)
class ScanOrder:
    """Tokens in the order of a scan, and back.

    Attributes:
        index: Of each token of the scan its location in the map, row by row (T,); the number of the
            map's tokens for an empty one.
        tokens: The number of the map's tokens, L.
        is_row: The order is that of the map already.
    """

    index: Table
    tokens: int
    is_row: bool = False

    def take(self, x: Tensor) -> Tensor:
        """Order the tokens of a map: (..., L) to (..., T)."""
        if self.is_row:
            return x
        if len(self.index) > self.tokens:
            x = F.pad(x, (0, 1))
        return x.index_select(-1, self.index.beside(x))

    def put(self, y: Tensor) -> Tensor:
        """Bring tokens back to the map: (..., T) to (..., L); 0 where the scan does not go."""
        if self.is_row:
            return y
        whole = y.new_zeros(*y.shape[:-1], self.tokens + (len(self.index) > self.tokens))
        return whole.index_copy(-1, self.index.beside(y), y)[..., : self.tokens]


@lru_cache(maxsize=256)
def scan_order(name: str, size: tuple[int, int]) -> ScanOrder:
    """The order of a name for a map of ``size`` tokens, height and width.

    Raises:
        ValueError: If there is no such order.
    """
    index = _path(name.removesuffix(REVERSED), size).flatten()
    if name.endswith(REVERSED):
        index = index[::-1].copy()  # torch takes no negative strides
    return ScanOrder(Table(index), size[0] * size[1], is_row=name == 'row')


@lru_cache(maxsize=256)
def scan_steps(name: str, size: tuple[int, int]) -> Table:
    """Of each token of an order without gaps the step to it from the one before (T,).

    They are numbered as PlainMamba's embeddings of directions: 0 for the first token, 1 right,
    2 left, 3 up, 4 down.
    """
    rows, columns = map(np.diff, np.divmod(scan_order(name, size).index.values, size[1]))
    across, along = np.where(columns > 0, 1, 2), np.where(rows > 0, 4, 3)
    return Table(np.concatenate([[0], np.where(rows == 0, across, along)]))


def _path(name: str, size: tuple[int, int]) -> np.ndarray:
    """The locations of the tokens of a path, of any shape."""
    grid = np.arange(size[0] * size[1], dtype=np.int64).reshape(size)
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
        grid = grid.T
    if kind == 'zigzag_':
        grid = grid.copy()
        grid[1::2] = grid[1::2, ::-1]
    return grid


def _windows(grid: np.ndarray, window: int) -> np.ndarray:
    """Locations window by window; the number of tokens stands for what pads the map."""
    padding = [(0, -edge % window) for edge in grid.shape]
    grid = np.pad(grid, padding, constant_values=grid.size)
    rows, columns = (edge // window for edge in grid.shape)
    return grid.reshape(rows, window, columns, window).swapaxes(1, 2)
