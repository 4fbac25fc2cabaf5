"""Low precision at the largest inputs: values up to the end of float16's range, and sums over the
10^5 tokens of an image of 1333 x 1333 at stride 4, against the definition in float64."""

from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vminet_mm.ops import choose_op, context, make_mask, mask_spans
from vminet_mm.ops.recurrent_reference import fit_fields

SIZE = (334, 334)
TOKENS = SIZE[0] * SIZE[1]
NATIVE = (56, 56)
CHANNELS = 3
LARGEST = 65504.0  # the largest number of float16
DTYPES = [torch.float16, torch.bfloat16]


def wide_range(dtype: torch.dtype, size: tuple[int, int] = SIZE) -> tuple[Tensor, Tensor]:
    """Q and K of all magnitudes, the largest and the smallest among them."""
    magnitude = torch.exp2(torch.empty(2, CHANNELS, *size).uniform_(-14, 15.99))
    both = magnitude * torch.randn_like(magnitude).sign()
    both[:, :, 0, :4] = torch.tensor([LARGEST, -LARGEST, 2.0**-24, 0.0])
    both[0, :, 1] = LARGEST  # E is 6 * 65504 there, which float16 cannot hold
    both[1, :, 1] = LARGEST
    return both[:1].to(dtype), both[1:].to(dtype)


def ones(dtype: torch.dtype, size: tuple[int, int] = SIZE) -> tuple[Tensor, Tensor]:
    """E is 1 everywhere: 1e5 of them are beyond float16, and bfloat16 stops to count at 256."""
    x = torch.ones(1, CHANNELS, *size, dtype=dtype)
    return x, x.clone()


INPUTS = dict(wide_range=wide_range, ones=ones)


def assert_close(actual: Tensor, exact: Tensor, magnitude: Tensor, dtype: torch.dtype) -> None:
    """Within float32's rounding of the summed magnitudes, and the rounding of the result."""
    assert actual.dtype == dtype and actual.isfinite().all()
    rounding = 2 * torch.finfo(dtype).eps * exact.clamp(min=2.0**-14)
    assert ((actual.double() - exact).abs() <= 1e-5 * magnitude + rounding).all()


def gradients(out: Tensor, leaves: list[Tensor]) -> tuple[Tensor, ...]:
    """Of a small mean, as a loss is one: finite in float16, too."""
    weights = torch.randn(out.shape).to(out) / 2**14
    return torch.autograd.grad(out, leaves, weights)


@pytest.mark.parametrize('dtype', DTYPES, ids=str)
@pytest.mark.parametrize('values', INPUTS)
@pytest.mark.parametrize('way', ['pool', 'interpolate', 'native'])
@pytest.mark.parametrize('impl', ['reference', 'torch', 'triton'])
def test_matrix_form(
    impl: str,
    way: str,
    values: str,
    dtype: torch.dtype,
    kernel_device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = kernel_device if impl == 'triton' else torch.device('cpu')
    if impl == 'triton' and device.type == 'cpu':
        # all tokens in one tile, which no GPU can hold, or they are interpreted for half a minute
        from vminet_mm.ops import matrix_triton

        monkeypatch.setattr(matrix_triton, 'MAX_TILE', 2**19)
    query, key = INPUTS[values](dtype)
    native = SIZE if way == 'native' else NATIVE
    mask = make_mask('tril', native[0] * native[1], CHANNELS)
    alpha = torch.full(native, 1.0) if values == 'ones' else torch.randn(native) * 0.02
    scale = torch.tensor([3.0 / alpha.numel()])
    beta = torch.tensor([1.0])
    resize = 'pool' if way == 'native' else way
    spans, mask = mask_spans(mask), mask.to(device)
    tensors = (x.to(device).requires_grad_() for x in (query, key, alpha, scale, beta))
    leaves = query, key, alpha, scale, beta = [*tensors]
    with torch.autocast(device.type, dtype):
        out = choose_op('matrix', impl)(query, key, alpha, mask, scale, beta, resize, spans)
    with torch.no_grad():
        embedding = F.relu6(query.double()) * key.double()
        summary = context(embedding, alpha.double(), mask, resize)[:, :, None, None]
        exact = F.relu6(scale.double() * summary + beta * embedding)
        summed = context(embedding.abs(), alpha.double().abs(), mask, resize)[:, :, None, None]
        assert_close(out, exact, scale * summed + embedding.abs(), dtype)
    if values == 'ones':
        assert (summary > LARGEST if way == 'native' else summary > 3000).all()
        assert ((exact > 2) & (exact < 5)).all()  # where ReLU6 hides nothing
    assert all(g.isfinite().all() for g in gradients(out, leaves))


# loop over the tokens in Python, which takes half a minute for all of them
SLOW = dict(reference=(34, 334), triton=(34, 334))
SCANS = [
    *product(['torch'], ['readout', 'inside'], INPUTS, DTYPES),
    ('reference', 'readout', 'wide_range', torch.float16),
    ('reference', 'inside', 'ones', torch.bfloat16),
    ('triton', 'readout', 'ones', torch.float16),
    ('triton', 'inside', 'wide_range', torch.bfloat16),
]


@pytest.mark.parametrize(('impl', 'recurrent_mask', 'values', 'dtype'), SCANS)
def test_recurrent_form(
    impl: str, recurrent_mask: str, values: str, dtype: torch.dtype, kernel_device: torch.device
) -> None:
    device = kernel_device if impl == 'triton' else torch.device('cpu')
    query, key = INPUTS[values](dtype, SLOW.get(impl, SIZE))
    mask = make_mask('tril', NATIVE[0] * NATIVE[1], CHANNELS)
    # a state that grows to 3, by steps that float16 and bfloat16 would lose
    alpha = torch.full(NATIVE, 3 / 56**2) if values == 'ones' else torch.randn(NATIVE) * 0.02
    beta = torch.ones(NATIVE)
    mask = mask.to(device)
    leaves = query, key, alpha, beta = [
        x.to(device).requires_grad_() for x in (query, key, alpha, beta)
    ]
    with torch.autocast(device.type, dtype):
        out = choose_op('recurrent', impl)(query, key, alpha, mask, beta, recurrent_mask)
    with torch.no_grad():
        exact, magnitude = scan(query, key, alpha, mask, beta, recurrent_mask)
        assert_close(out, F.relu6(exact), magnitude, dtype)
    if values == 'ones':
        assert (exact[..., -1, -1] - 4).abs().max() < 0.01
    if impl != 'reference':  # whose graph has a node for each token
        assert all(g.isfinite().all() for g in gradients(out, leaves))


def scan(
    query: Tensor, key: Tensor, alpha: Tensor, mask: Tensor, beta: Tensor, recurrent_mask: str
) -> tuple[Tensor, Tensor]:
    """Y of eq. (9) in float64, and the sum of the magnitudes that it is made of."""
    alpha, mask, beta = fit_fields(alpha.double(), mask, beta.double(), query.shape[2:])
    embedding = (F.relu6(query.double()) * key.double()).flatten(2)
    terms = alpha.flatten() * embedding
    visible = mask.t()
    if recurrent_mask == 'inside':
        terms, visible = terms * visible, torch.ones_like(visible)
    own = beta.flatten() * embedding
    y = visible * terms.cumsum(2) + own
    return y.view(query.shape), (terms.abs().cumsum(2) + own.abs()).view(query.shape)
