"""The matrix form from U to the output of W3 as one node, against its parts."""

import pytest
import torch
from torch import Tensor, nn

from vminet_mm.ops import (
    can_project_matrix,
    choose_op,
    make_mask,
    mask_spans,
    pointwise,
    project,
    project_matrix,
    reference,
)


@pytest.fixture(autouse=True)
def _small_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project, 'MIN_ELEMENTS', 0)


NATIVE = (3, 5)
FORMATS = [torch.contiguous_format, torch.channels_last]


class Parts:
    """W1, W2, W3 and the fields of a block with 4 channels and 9 hidden ones."""

    def __init__(self, impl: str, mask: str = 'tril', dtype: torch.dtype = torch.float64) -> None:
        self.op = choose_op('matrix', impl)
        self.convs = [nn.Conv2d(*edges, 1, dtype=dtype) for edges in ((4, 9), (4, 9), (9, 4))]
        self.fields = [torch.randn(NATIVE), torch.tensor([0.7]), torch.tensor([1.3])]
        self.fields = [x.to(dtype).requires_grad_() for x in self.fields]
        self.mask = make_mask(mask, 15, 9)

    @property
    def leaves(self) -> list[Tensor]:
        return [*self.fields, *(p for conv in self.convs for p in conv.parameters())]

    def together(self, x: Tensor) -> Tensor:
        alpha, scale, beta = self.fields
        assert can_project_matrix(self.op, x, alpha, self.mask, 'pool')
        query, key, conv = self.convs
        fields = alpha, self.mask, scale, beta
        return project_matrix(self.op, x, query, key, fields, conv, 'pool', mask_spans(self.mask))

    def apart(self, x: Tensor) -> Tensor:
        query, key, conv = self.convs
        alpha, *others = self.fields
        return conv(reference.separable_attention(query(x), key(x), alpha, self.mask, *others))


@pytest.mark.parametrize('memory_format', FORMATS, ids=str)
@pytest.mark.parametrize('size', [(3, 5), (7, 4), (1, 1)], ids=str)
@pytest.mark.parametrize('impl', ['torch', 'triton'])
def test_output_and_gradients(
    impl: str, size: tuple[int, int], memory_format: torch.memory_format
) -> None:
    parts = Parts(impl)
    x = torch.randn(3, 4, *size, dtype=torch.float64).to(memory_format=memory_format)
    x.requires_grad_()
    grad = torch.randn_like(x)
    results = []
    for out in (parts.apart(x), parts.together(x)):
        results.append([out, *torch.autograd.grad(out, [x, *parts.leaves], grad)])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected)


def test_as_a_matrix_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """What CUDA computes in channels_last."""
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64).to(memory_format=torch.channels_last)
    parts, grad = Parts('torch'), torch.randn(2, 4, 3, 5, dtype=torch.float64)
    leaves = parts.leaves
    expected = parts.together(x)
    gradients = torch.autograd.grad(expected, leaves, grad)
    monkeypatch.setattr(pointwise, 'is_product', pointwise.is_last)
    out = parts.together(x)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, expected)
    found = torch.autograd.grad(out, leaves, grad.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, gradients)
    conv = parts.convs[0]
    torch.testing.assert_close(pointwise.apply_pointwise(conv, x), conv(x))


@pytest.mark.parametrize('frozen', ['x', 'fields', 'convs'])
def test_frozen_parts_get_no_gradient(frozen: str) -> None:
    parts, x = Parts('torch'), torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    groups = dict(x=[x], fields=parts.fields, convs=parts.leaves[3:])
    for tensor in groups[frozen]:
        tensor.requires_grad_(False)
    wanted = [t for name, group in groups.items() if name != frozen for t in group]
    results = [
        torch.autograd.grad(out.square().sum(), wanted)
        for out in (parts.apart(x), parts.together(x))
    ]
    torch.testing.assert_close(*results)


def test_keeps_three_tensors() -> None:
    parts, x, kept = Parts('torch'), torch.randn(2, 4, 3, 5, dtype=torch.float64), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        parts.together(x)
    given = {t.data_ptr() for t in (*parts.leaves, parts.mask)}
    shapes = [tuple(t.shape) for t in kept if t.data_ptr() not in given]
    assert sorted(shapes) == [(2, 4, 3, 5), (2, 9), (2, 18, 3, 5), (18, 4, 1, 1)]


def test_autocast() -> None:
    parts = Parts('torch', dtype=torch.float32)
    x = torch.randn(2, 4, 3, 5, requires_grad=True)
    leaves = [x, *parts.leaves]
    expected = torch.autograd.grad(parts.apart(x).sum(), leaves)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        out = parts.together(x)
    assert out.dtype == torch.bfloat16
    found = torch.autograd.grad(out.float().sum(), leaves)
    for value, exact, leaf in zip(found, expected, leaves, strict=True):
        assert value.dtype == leaf.dtype
        error = (value - exact).norm() / exact.norm()
        assert error < 0.1


def test_what_it_does_not_stand_for() -> None:
    parts, x = Parts('torch'), torch.randn(2, 4, 7, 4)
    alpha, mask = parts.fields[0], parts.mask
    assert not can_project_matrix(parts.op, x, alpha, mask, 'interpolate')
    assert not can_project_matrix(choose_op('matrix', 'reference'), x, alpha, mask, 'pool')
    with torch.no_grad():
        assert not can_project_matrix(parts.op, x, alpha, mask, 'pool')
