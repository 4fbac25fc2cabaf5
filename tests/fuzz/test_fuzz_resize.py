"""Numbers per token on other grids, against NumPy and loops over cells."""

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch
from fuzz_strategies import MASKS, RESIZES, SEEDS, grids, sizes
from hypothesis import example, given
from hypothesis import strategies as st

from vminet_mm.ops import context, make_mask, resize_field
from vminet_mm.ops.context_weights import context_weights
from vminet_mm.ops.recurrent_reference import fit_fields

Size = tuple[int, int]
# the grids of 224 pixels, as at 256, 384 and 800 x 1280
PUBLISHED = [((56, 56), (64, 64)), ((14, 14), (24, 24)), ((7, 7), (25, 40)), ((28, 28), (12, 12))]


def cubic(distance: float) -> float:
    """Keys' kernel with a = -0.75, as OpenCV and PyTorch have it."""
    d, a = abs(distance), -0.75
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def linear(distance: float) -> float:
    return max(0.0, 1 - abs(distance))


def resampling(old: int, new: int, kernel: Callable[[float], float]) -> np.ndarray:
    """(new, old): how much each old pixel counts at each new one, beyond the edge as at it."""
    matrix = np.zeros((new, old))
    for i in range(new):
        center = (i + 0.5) * old / new - 0.5
        for j in range(math.floor(center) - 1, math.floor(center) + 3):
            matrix[i, min(max(j, 0), old - 1)] += kernel(center - j)
    return matrix


def at_published_sizes(test: Callable) -> Callable:
    for size in PUBLISHED:
        test = example(size, 0)(test)
    return test


@at_published_sizes
@given(st.tuples(sizes(20), sizes(20)), SEEDS)
def test_resampled(grid: tuple[Size, Size], seed: int) -> None:
    native, size = grid
    torch.manual_seed(seed)
    field = torch.randn(2, *native, dtype=torch.float64)
    for mode, kernel in (('bicubic', cubic), ('bilinear', linear)):
        rows, columns = (resampling(native[i], size[i], kernel) for i in (0, 1))
        expected = rows @ field.numpy() @ columns.T
        plain = resize_field(field, size, mode, keep_sum=False)
        np.testing.assert_allclose(plain, expected, rtol=1e-9, atol=1e-9)
        fraction = native[0] * native[1] / (size[0] * size[1])
        kept = resize_field(field, size, mode)
        np.testing.assert_allclose(kept, expected * fraction, rtol=1e-9, atol=1e-9)


@at_published_sizes
@given(st.tuples(sizes(20), sizes(20)), SEEDS)
def test_sums_and_constants(grid: tuple[Size, Size], seed: int) -> None:
    native, size = grid
    torch.manual_seed(seed)
    field = torch.randn(native, dtype=torch.float64)
    assert torch.equal(resize_field(field, native), field)
    level = field.mean()
    flat = level.expand(3, *native)
    torch.testing.assert_close(resize_field(flat, size, keep_sum=False), level.expand(3, *size))
    total = resize_field(flat, size).sum((1, 2))
    torch.testing.assert_close(total, flat.sum((1, 2)))
    # the edge is repeated, so a sum is kept exactly where values change in the interior alone, by
    # a whole number of times more tokens
    wide = torch.nn.functional.pad(field, (3, 3, 3, 3))
    larger = tuple(3 * edge for edge in wide.shape)
    torch.testing.assert_close(resize_field(wide, larger).sum(), field.sum())


@given(grids(12), st.integers(1, 5), MASKS, SEEDS)
def test_pool_is_the_mean_of_what_a_cell_covers(
    grid: tuple[Size, Size], channels: int, mask_name: str, seed: int
) -> None:
    (height, width), native = grid
    torch.manual_seed(seed)
    embedding = torch.randn(1, channels, height, width, dtype=torch.float64)
    alpha = torch.randn(native, dtype=torch.float64)
    mask = make_mask(mask_name, alpha.numel(), channels)
    expected = torch.zeros(channels, dtype=torch.float64)
    for cell, (row, column) in enumerate(itertools.product(*map(range, native))):
        down = [i for i in range(height) if overlaps(row, native[0], i, height)]
        across = [i for i in range(width) if overlaps(column, native[1], i, width)]
        mean = embedding[0][:, down][:, :, across].mean((1, 2))
        expected += alpha[row, column] * mask[cell] * mean
    torch.testing.assert_close(context(embedding, alpha, mask)[0], expected)


def overlaps(cell: int, cells: int, token: int, tokens: int) -> bool:
    """Whether a cell and a token have more than an edge in common, on a line of length one."""
    begin = max(Fraction(cell, cells), Fraction(token, tokens))
    end = min(Fraction(cell + 1, cells), Fraction(token + 1, tokens))
    return begin < end


@given(grids(12), st.integers(1, 9), MASKS, RESIZES, SEEDS)
def test_weights_of_the_context(
    grid: tuple[Size, Size], channels: int, mask_name: str, resize: str, seed: int
) -> None:
    size, native = grid
    torch.manual_seed(seed)
    alpha = torch.randn(native, dtype=torch.float64)
    mask = make_mask(mask_name, alpha.numel(), channels)
    weights = context_weights(native, size, resize, alpha.device, alpha.dtype)
    embedding = torch.randn(2, channels, *size, dtype=torch.float64)
    found = (embedding * weights.build(alpha, mask)).sum((2, 3))
    torch.testing.assert_close(found, context(embedding, alpha, mask, resize))
    by_tap = torch.randn(weights.gradient_shape, dtype=torch.float64)
    rows, columns = weights.rows, weights.columns
    taps = by_tap.view(size[0], rows.count, size[1], columns.count)
    product = sum(
        (
            alpha.index_select(0, rows.first + r).index_select(1, columns.first + c)
            * rows.values[r, :, None]
            * columns.values[c]
            * taps[:, r, :, c]
        ).sum()
        for r, c in itertools.product(range(rows.count), range(columns.count))
    )
    torch.testing.assert_close((weights.alpha_gradient(by_tap) * alpha).sum(), product)


@at_published_sizes
@given(st.tuples(sizes(40), sizes(40)), st.just(0))
def test_recurrent_mask_is_the_nearest_tokens(grid: tuple[Size, Size], _: int) -> None:
    native, size = grid
    alpha, cells = torch.zeros(native), torch.arange(native[0] * native[1])
    bits = cells[:, None] >> torch.arange(12) & 1  # a mask that tells the number of the token
    found = fit_fields(alpha, bits.bool(), alpha, size)[1].long() @ 2 ** torch.arange(12)
    for token, cell in zip(itertools.product(*map(range, size)), found.tolist(), strict=True):
        for i, old in enumerate(divmod(cell, native[1])):
            begin = Fraction(token[i] * native[i], size[i])
            # torch rounds, so that a token which begins where a cell does may still get the last
            assert old == math.floor(begin) or (old == begin - 1 and native[i] != size[i])
