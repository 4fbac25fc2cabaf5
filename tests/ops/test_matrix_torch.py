"""The cheap matrix form against the definition: output, every gradient, and what is kept."""

import itertools

import pytest
import torch
from torch import Tensor

from vminet_mm.ops import make_mask, mask_spans
from vminet_mm.ops.matrix_torch import separable_attention
from vminet_mm.ops.reference import separable_attention as definition

SIZES = [(1, 1), (3, 5), (9, 2), (12, 11)]
NATIVE = [(3, 5), (1, 2), (5, 4)]
CHANNELS = 7


def inputs(
    size: tuple[int, int],
    native: tuple[int, int],
    mask: str = 'tril',
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
    batch: int = 2,
) -> dict[str, Tensor]:
    """Q and K are halves of one tensor, as the block has them."""
    both = 3 * torch.randn(batch, 2 * CHANNELS, *size, dtype=dtype)
    query, key = both.to(memory_format=memory_format).chunk(2, dim=1)
    wide = torch.promote_types(dtype, torch.float32)
    context_mask = make_mask(mask, native[0] * native[1], CHANNELS)
    return dict(
        query=query,
        key=key,
        alpha=torch.randn(native, dtype=wide),
        mask=context_mask,
        scale=torch.tensor([0.7], dtype=wide),
        beta=torch.tensor([1.3], dtype=wide),
        spans=mask_spans(context_mask),
    )


def run(op, x: dict, weights: Tensor, **options) -> list[Tensor]:
    """The output and the gradients of query, key, alpha, scale and beta."""
    names = ['query', 'key', 'alpha', 'scale', 'beta']
    x = x | {name: x[name].detach().requires_grad_() for name in names}
    out = op(**x, **options)
    return [out.detach(), *torch.autograd.grad((out * weights).sum(), [x[name] for name in names])]


@pytest.mark.parametrize('memory_format', [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize('mask', ['tril', 'band', 'block', 'none'])
@pytest.mark.parametrize('native', NATIVE, ids=str)
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_output_and_gradients(
    size: tuple[int, int],
    native: tuple[int, int],
    mask: str,
    memory_format: torch.memory_format,
) -> None:
    x = inputs(size, native, mask, memory_format=memory_format)
    weights = torch.randn_like(x['query'])
    expected = run(definition, x, weights)
    for spans in (x['spans'], None):
        for e, actual in zip(
            expected, run(separable_attention, x | {'spans': spans}, weights), strict=True
        ):
            torch.testing.assert_close(actual, e, rtol=1e-4, atol=1e-4)
    with torch.no_grad():
        out = separable_attention(**x)
    torch.testing.assert_close(out, expected[0], rtol=1e-5, atol=1e-5)
    assert out.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('size', [(3, 5), (7, 6)], ids=str)
def test_low_precision(dtype: torch.dtype, size: tuple[int, int]) -> None:
    x = inputs(size, (3, 5), dtype=dtype)
    weights = torch.randn_like(x['query'])
    with torch.autocast('cpu', dtype=dtype):
        actual = run(separable_attention, x, weights)
    expected = run(definition, x, weights)
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        # both are computed in float32, the gradients of Q and K are rounded in another order
        torch.testing.assert_close(a, e, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize('mask', ['tril', 'band'])
@pytest.mark.parametrize('size', [(3, 4), (5, 7)], ids=str)
def test_gradcheck(mask: str, size: tuple[int, int]) -> None:
    x = inputs(size, (3, 4), mask, torch.float64)
    names = ['query', 'key', 'alpha', 'scale', 'beta']

    def attend(*values: Tensor) -> Tensor:
        return separable_attention(**(x | dict(zip(names, values, strict=True))))

    assert torch.autograd.gradcheck(attend, [x[n].clone().requires_grad_() for n in names])


def test_interpolate_is_left_to_the_definition() -> None:
    x = inputs((7, 6), (3, 5))
    options = dict(context_resize='interpolate')
    actual, expected = separable_attention(**x, **options), definition(**x, **options)
    assert torch.equal(actual, expected)


def test_empty_batch() -> None:
    x = inputs((3, 5), (2, 2), batch=0)
    weights = torch.randn_like(x['query'])
    results = run(separable_attention, x, weights)
    assert results[0].shape == (0, CHANNELS, 3, 5)
    assert all((g == 0).all() for g in results[3:])


def test_keeps_two_maps_for_the_backward_pass() -> None:
    kept: list[Tensor] = []
    x = inputs((12, 11), (5, 4), memory_format=torch.channels_last)
    x['query'].requires_grad_(), x['key'].requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        separable_attention(**x)
    maps = [t for t in kept if t.numel() >= x['query'].numel()]
    assert {t.data_ptr() for t in maps} == {x['query'].data_ptr(), x['key'].data_ptr()}


@pytest.mark.parametrize('grad', [False, True])
def test_compiles_without_graph_breaks(grad: bool) -> None:
    x = inputs((6, 7), (3, 5))
    x['query'].requires_grad_(grad)
    compiled = torch.compile(separable_attention, fullgraph=True, backend='aot_eager')
    out = compiled(**x)
    torch.testing.assert_close(out, definition(**x))
    if grad:
        out.sum().backward()
        actual, x['query'].grad = x['query'].grad, None
        definition(**x).sum().backward()
        torch.testing.assert_close(actual, x['query'].grad)


def test_spans_of_masks() -> None:
    sizes = [(1, 1), (1, 5), (9, 4), (4, 9), (12, 12)]
    for name, (tokens, channels) in itertools.product(('tril', 'band', 'block', 'none'), sizes):
        mask = make_mask(name, tokens, channels)
        mixed, whole = mask_spans(mask)
        assert 0 <= mixed <= whole <= tokens
        assert mask[mixed:whole].all() and not mask[whole:].any()
        # no row more than needed is left to be read
        assert mixed == 0 or not mask[mixed - 1].all() or mixed == whole


def test_spans_by_hand() -> None:
    assert mask_spans(make_mask('tril', 9, 4)) == (3, 9)
    assert mask_spans(make_mask('none', 9, 4)) == (0, 9)
    assert mask_spans(make_mask('band', 9, 4)) == (6, 6)  # |i - n| <= 2, n <= 3
    assert mask_spans(torch.zeros(3, 2, dtype=torch.bool)) == (0, 0)
