"""VMI-SA against its definition, written as loops over tokens and channels."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vminet_mm.ops import context, make_mask, resize_field, separable_attention

SIZES = [(1, 1), (3, 5), (4, 4), (7, 2)]


def loops(
    query: Tensor, key: Tensor, alpha: Tensor, mask: Tensor, scale: float, beta: float
) -> Tensor:
    """``Y = s0 c + beta E``, ``c[n] = sum_i alpha[i] M[i, n] E[i, n]``, then ReLU6."""
    batch, channels, height, width = query.shape
    out = torch.empty_like(query)
    for b, n in itertools.product(range(batch), range(channels)):
        values = [
            min(max(float(q), 0.0), 6.0) * float(k)
            for q, k in zip(query[b, n].flatten(), key[b, n].flatten(), strict=True)
        ]
        c = sum(
            float(alpha.flatten()[i]) * e
            for i, e in enumerate(values)
            if i < len(mask) and mask[i, n]
        )
        y = [min(max(scale * c + beta * e, 0.0), 6.0) for e in values]
        out[b, n] = torch.tensor(y).view(height, width)
    return out


def inputs(
    size: tuple[int, int], native: tuple[int, int], mask: str = 'tril', device: str = 'cpu'
) -> dict[str, Tensor]:
    channels = 6
    return dict(
        query=3 * torch.randn(2, channels, *size, device=device),
        key=torch.randn(2, channels, *size, device=device),
        alpha=torch.randn(native, device=device),
        mask=make_mask(mask, native[0] * native[1], channels).to(device),
        scale=torch.tensor([0.7], device=device),
        beta=torch.tensor([1.3], device=device),
    )


@pytest.mark.parametrize('mask', ['tril', 'band', 'block', 'none'])
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_native_size(size: tuple[int, int], mask: str, device: torch.device) -> None:
    x = inputs(size, size, mask, device)
    expected = loops(x['query'], x['key'], x['alpha'], x['mask'], 0.7, 1.3)
    torch.testing.assert_close(separable_attention(**x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('mask', ['tril', 'band'])
@pytest.mark.parametrize('resize', ['pool', 'interpolate'])
def test_gradients(mask: str, resize: str) -> None:
    x = {k: v if k == 'mask' else v.double() for k, v in inputs((3, 5), (2, 4), mask).items()}
    names = [k for k in x if k != 'mask']

    def attend(*values: Tensor) -> Tensor:
        options = dict(zip(names, values, strict=True))
        return separable_attention(**options, mask=x['mask'], context_resize=resize)

    assert torch.autograd.gradcheck(attend, [x[k].requires_grad_() for k in names])


def test_context_pool_by_hand() -> None:
    # 2 x 4 tokens on a native grid of 1 x 2: each cell averages a 2 x 2 square
    embedding = torch.tensor([[[[1.0, 2, 3, 4], [5, 6, 7, 8]]]])
    alpha = torch.tensor([[10.0, 1.0]])
    mask = torch.ones(2, 1, dtype=torch.bool)
    assert context(embedding, alpha, mask).item() == 10 * 3.5 + 5.5
    mask[0] = False
    assert context(embedding, alpha, mask).item() == 5.5


@pytest.mark.parametrize('size', [(1, 1), (2, 9), (5, 3), (12, 31)], ids=str)
def test_context_pool_is_an_area_average(size: tuple[int, int]) -> None:
    native, channels = (4, 3), 5
    embedding, alpha = torch.randn(2, channels, *size), torch.randn(native)
    mask = make_mask('tril', 12, channels)
    expected = torch.zeros(2, channels)
    for g, (row, column) in enumerate(itertools.product(range(4), range(3))):
        # the tokens that a cell covers, whole or in part
        top, bottom = row * size[0] // 4, -(-(row + 1) * size[0] // 4)
        left, right = column * size[1] // 3, -(-(column + 1) * size[1] // 3)
        cell = embedding[:, :, top:bottom, left:right].mean((2, 3))
        expected += alpha[row, column] * mask[g] * cell
    torch.testing.assert_close(context(embedding, alpha, mask), expected)


def test_context_interpolate_is_a_resized_field() -> None:
    native, size, channels = (4, 4), (6, 9), 5
    embedding, alpha = torch.randn(2, channels, *size), torch.randn(native)
    mask = make_mask('band', 16, channels)
    field = (alpha.view(-1, 1) * mask).t().reshape(1, channels, *native)
    field = F.interpolate(field, size, mode='bicubic')[0] * (16 / 54)
    expected = (embedding * field).sum((2, 3))
    torch.testing.assert_close(context(embedding, alpha, mask, 'interpolate'), expected)


@pytest.mark.parametrize('resize', ['pool', 'interpolate'])
def test_context_does_not_grow_with_the_image(resize: str) -> None:
    alpha, mask = torch.rand(4, 4), make_mask('none', 16, 3)
    contexts = [
        context(torch.ones(1, 3, *size), alpha, mask, resize) for size in [(4, 4), (8, 8), (40, 56)]
    ]
    for c in contexts:
        # bicubic interpolation repeats the border, so it keeps the sum only nearly
        tolerance = 1e-5 if resize == 'pool' else 0.02
        torch.testing.assert_close(c, alpha.sum().expand(1, 3), rtol=tolerance, atol=0)


def test_empty_batch() -> None:
    x = inputs((3, 5), (2, 2))
    x.update(query=x['query'][:0], key=x['key'][:0])
    assert separable_attention(**x).shape == (0, 6, 3, 5)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_low_precision_sums_in_float32(dtype: torch.dtype, device: torch.device) -> None:
    # 10^5 tokens of 0.5: float16 stops counting at 1024 and bfloat16 at 128
    query = torch.full((1, 1, 250, 400), 0.5, dtype=dtype, device=device)
    key = torch.ones_like(query)
    alpha, mask = torch.ones(250, 400, device=device), torch.ones(10**5, 1, device=device).bool()
    scale, beta = torch.tensor([1e-4], device=device), torch.tensor([0.0], device=device)
    with torch.autocast(device.type, dtype=dtype):
        out = separable_attention(query, key, alpha, mask, scale, beta)
    assert out.dtype == dtype
    torch.testing.assert_close(out, torch.full_like(out, 5.0))


def test_no_overflow_in_float16(device: torch.device) -> None:
    query = torch.full((1, 2, 3, 3), 60000.0, dtype=torch.float16, device=device)
    alpha, mask = torch.ones(3, 3, device=device), torch.ones(9, 2, device=device).bool()
    one = torch.ones(1, device=device)
    with torch.autocast(device.type, dtype=torch.float16):
        out = separable_attention(query, query, alpha, mask, one, one)
    assert torch.equal(out, torch.full_like(out, 6.0))


def test_resize_field_keeps_the_sum() -> None:
    field = torch.full((3, 4, 6), 2.0)
    resized = resize_field(field, (8, 3))
    assert resized.shape == (3, 8, 3)
    torch.testing.assert_close(resized.sum((1, 2)), field.sum((1, 2)))
