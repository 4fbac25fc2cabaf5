"""The recurrent form: the loop by hand, and the scans against the loop, with every gradient.

The Triton kernels run interpreted where there is no GPU.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from recurrent_cases import LAYOUTS, LEARNED, check, inputs, run
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from vminet_mm.ops import make_mask, recurrent_torch, recurrent_triton
from vminet_mm.ops.recurrent_reference import fit_fields
from vminet_mm.ops.recurrent_reference import recurrent_attention as definition
from vminet_mm.ops.recurrent_torch import sum_by_doubling_

SCANS = {
    'torch': recurrent_torch.recurrent_attention,
    'triton': recurrent_triton.recurrent_attention,
}
# size, native size, channels, images, mask
CASES = [
    ((3, 5), (3, 5), 6, 2, 'tril'),
    ((2, 3), (2, 3), 9, 2, 'tril'),  # fewer tokens than channels
    ((1, 1), (1, 1), 4, 1, 'tril'),
    ((7, 1), (7, 1), 1, 3, 'none'),
    ((4, 3), (4, 3), 5, 1, 'band'),
    ((5, 4), (5, 4), 7, 2, 'block'),
    ((7, 9), (3, 4), 17, 2, 'tril'),
    ((2, 3), (5, 4), 6, 1, 'band'),
    ((1, 4), (2, 2), 3, 2, 'block'),
]
recurrent_masks = pytest.mark.parametrize('recurrent_mask', ['readout', 'inside'])
scans = pytest.mark.parametrize('scan', SCANS.values(), ids=SCANS)


def test_by_hand() -> None:
    query = torch.tensor([[[[1.0, 8.0, 2.0]], [[2.0, 1.0, 1.0]]]])
    key = torch.tensor([[[[1.0, 0.5, -1.0]], [[1.0, 1.0, 1.0]]]])
    # E = (1, 3, -2) and (2, 1, 1); alpha E = (1, 6, -1) and (2, 2, 0.5)
    alpha, beta = torch.tensor([[1.0, 2.0, 0.5]]), torch.tensor([[1.0, -1.0, -1.0]])
    mask = torch.tensor([[True, False], [True, True], [True, True]])
    # h = (1, 7, 6) and (2, 4, 4.5), the first of the second channel not read
    readout = torch.tensor([[[[2.0, 4.0, 6.0]], [[2.0, 3.0, 3.5]]]])  # 6 + 2 = 8 is cut off
    assert torch.equal(definition(query, key, alpha, mask, beta), readout)
    # the same for the first channel; h = (0, 2, 2.5) for the second
    inside = torch.tensor([[[[2.0, 4.0, 6.0]], [[2.0, 1.0, 1.5]]]])
    assert torch.equal(definition(query, key, alpha, mask, beta, 'inside'), inside)


@pytest.mark.parametrize(('length', 'dim'), [(1, 0), (2, 1), (5, 2), (16, 1), (37, 1)])
def test_sum_by_doubling(length: int, dim: int) -> None:
    shape = [3, 2, 4]
    shape[dim] = length
    x = torch.randn(shape, dtype=torch.float64).transpose(0, 1)  # not contiguous
    dim = {0: 1, 1: 0, 2: 2}[dim]
    expected = x.cumsum(dim)
    assert sum_by_doubling_(x, dim) is x
    torch.testing.assert_close(x, expected)


def test_fit_fields() -> None:
    alpha, beta = torch.rand(3, 4), torch.rand(3, 4)
    mask = make_mask('band', 12, 5)
    assert fit_fields(alpha, mask, beta, (3, 4)) == (alpha, mask, beta)
    large_alpha, large_mask, large_beta = fit_fields(alpha, mask, beta, (7, 8))
    torch.testing.assert_close(
        large_alpha, F.interpolate(alpha[None, None], (7, 8), mode='bicubic')[0, 0] * (12 / 56)
    )
    torch.testing.assert_close(
        large_beta, F.interpolate(beta[None, None], (7, 8), mode='bicubic')[0, 0]
    )
    for i in range(56):
        row, column = i // 8 * 3 // 7, i % 8 // 2
        assert torch.equal(large_mask[i], mask[4 * row + column])


@recurrent_masks
@scans
@pytest.mark.parametrize('case', CASES, ids=str)
def test_output_and_gradients(
    case: tuple, scan: Callable, recurrent_mask: str, device: torch.device
) -> None:
    check(scan, inputs(*case, device), recurrent_mask)


@pytest.mark.parametrize('size', [(4, 7), (1, 13)], ids=str)
@pytest.mark.parametrize('layout', LAYOUTS)
@recurrent_masks
@scans
def test_layouts(
    scan: Callable, recurrent_mask: str, layout: str, size: tuple[int, int], device: torch.device
) -> None:
    x = inputs(size, size, 6, 2, 'tril', device, layout=layout)
    is_last = 'channels_last' in layout
    memory_format = torch.channels_last if is_last else torch.contiguous_format
    out = check(scan, x, recurrent_mask)['out']
    assert out.is_contiguous(memory_format=memory_format)
    # a key and a gradient that are not where the query is
    x['key'] = x['key'].contiguous()
    check(scan, x, recurrent_mask)
    with torch.no_grad():
        out = scan(**x, recurrent_mask=recurrent_mask)
    expected = definition(**x, recurrent_mask=recurrent_mask)
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@recurrent_masks
@scans
def test_low_precision(
    scan: Callable, recurrent_mask: str, dtype: torch.dtype, autocast: bool, device: torch.device
) -> None:
    x = inputs((5, 9), (5, 9), 6, 2, 'tril', device, dtype)
    with torch.autocast(device.type, dtype=dtype, enabled=autocast):
        out = check(scan, x, recurrent_mask, tolerance=2 * torch.finfo(dtype).eps)['out']
    assert out.dtype == dtype


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
@scans
def test_rounding_stops_no_gradient(
    scan: Callable, dtype: torch.dtype, device: torch.device
) -> None:
    # float16 and bfloat16 have no number between 5.999 and 6
    one = torch.ones(1, 1, 1, 2, device=device, dtype=dtype)
    alpha, mask = torch.zeros(1, 2, device=device), make_mask('none', 2, 1).to(device)
    beta = torch.tensor([[5.999, 6.0]], device=device).requires_grad_()
    out = scan(one, one, alpha, mask, beta)
    out.sum().backward()
    torch.testing.assert_close(out, (one * beta).to(dtype), rtol=torch.finfo(dtype).eps, atol=0)
    assert beta.grad.tolist() == [[1.0, 0.0]]


@scans
def test_sums_in_float32(scan: Callable, device: torch.device) -> None:
    # float16 stops counting thousandths at 2
    query = torch.ones(1, 1, 50, 100, dtype=torch.float16, device=device)
    alpha, beta = torch.full((50, 100), 1e-3, device=device), torch.zeros(50, 100, device=device)
    out = scan(query, query, alpha, make_mask('none', 5000, 1).to(device), beta)
    expected = 1e-3 * torch.arange(1, 5001, device=device)
    torch.testing.assert_close(out.float().flatten(), expected, rtol=1e-3, atol=0)


@scans
def test_many_tokens(scan: Callable, device: torch.device) -> None:
    x = inputs((165, 400), (165, 400), 1, 1, 'none', device)  # more than 2**16
    x['alpha'] = torch.rand_like(x['alpha']) / 10**5  # the sum stays between the bounds
    x['key'] = x['key'].abs()
    wide = {name: value.double() for name, value in x.items() if name != 'mask'}
    embedding = F.relu6(wide['query']) * wide['key']
    state = (wide['alpha'] * embedding).flatten().cumsum(0).view_as(embedding)
    expected = F.relu6(state + wide['beta'] * embedding)
    torch.testing.assert_close(scan(**x).double(), expected, rtol=1e-5, atol=1e-6)


@recurrent_masks
@scans
def test_gradcheck(scan: Callable, recurrent_mask: str, device: torch.device) -> None:
    x = inputs((2, 2), (1, 2), 2, 1, 'tril', device, torch.float64)

    def attend(*values: Tensor) -> Tensor:
        learned = dict(zip(LEARNED, values, strict=True))
        return scan(**learned, mask=x['mask'], recurrent_mask=recurrent_mask)

    assert torch.autograd.gradcheck(attend, [x[name].requires_grad_() for name in LEARNED])


@scans
def test_compile_in_one_graph(scan: Callable, device: torch.device) -> None:
    for native, layout, recurrent_mask in [
        ((4, 6), 'halves', 'readout'),
        ((3, 2), 'channels_last halves', 'inside'),
    ]:
        x = inputs((4, 6), native, 5, 2, 'tril', device, layout=layout)
        compiled = torch.compile(scan, fullgraph=True, backend='aot_eager')
        check(compiled, x, recurrent_mask, tolerance=1e-4)
        with torch.no_grad():
            out = compiled(**x, recurrent_mask=recurrent_mask)
        torch.testing.assert_close(out, scan(**x, recurrent_mask=recurrent_mask))


@scans
def test_empty_batch(scan: Callable, device: torch.device) -> None:
    x = inputs((3, 5), (2, 2), 6, 0, 'tril', device)
    grads = run(scan, x, 'readout', torch.ones_like(x['query']))
    assert grads['out'].shape == (0, 6, 3, 5)
    assert not grads['alpha'].any() and not grads['beta'].any()


@scans
def test_nan_passes(scan: Callable, device: torch.device) -> None:
    x = inputs((2, 4), (2, 4), 3, 1, 'none', device)
    x['query'][0, 1, 1, 0] = float('nan')
    out = scan(**x)
    assert torch.equal(out.isnan(), definition(**x).isnan()) and out[0, 1, 1, 3].isnan()


@scans
def test_keeps_query_key_and_output(scan: Callable, device: torch.device) -> None:
    x = inputs((8, 8), (8, 8), 32, 4, 'tril', device)
    x = x | {name: x[name].requires_grad_() for name in LEARNED}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        out = scan(**x)
    assert out.requires_grad
    small = 2 * 64 * 4 + 64 * 32  # alpha, beta and the mask
    assert sum(kept.values()) <= 3 * out.numel() * 4 + small


def test_export(device: torch.device) -> None:
    class Layer(torch.nn.Module):
        def forward(self, *tensors: Tensor) -> Tensor:
            return SCANS['torch'](*tensors)

    for native in [(4, 6), (3, 2)]:
        x = tuple(inputs((4, 6), native, 5, 2, 'tril', device, layout='contiguous').values())
        torch.testing.assert_close(torch.export.export(Layer(), x).module()(*x), Layer()(*x))
