"""The matrix form from U to the output of W3 as one node, against its parts."""

import pytest
import torch
from torch import Tensor, nn

from vminet_mm.ops import (
    add_branch,
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

    def together(self, x: Tensor, *onto: Tensor) -> Tensor:
        alpha, scale, beta = self.fields
        assert can_project_matrix(self.op, x, alpha, self.mask, 'pool')
        linears = tuple(p for conv in self.convs for p in conv.parameters())
        fields = alpha, self.mask, scale, beta
        spans = mask_spans(self.mask)
        return project_matrix(self.op, x, linears, fields, 'pool', spans, *onto)

    def apart(self, x: Tensor, *onto: Tensor) -> Tensor:
        query, key, conv = self.convs
        alpha, *others = self.fields
        branch = conv(reference.separable_attention(query(x), key(x), alpha, self.mask, *others))
        return add_branch(onto[0], branch, *onto[1:]) if onto else branch


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


@pytest.mark.parametrize('keeps', [False, True])
@pytest.mark.parametrize('impl', ['torch', 'triton'])
def test_onto_a_residual(impl: str, keeps: bool) -> None:
    """The residual connection and the drop path are a part of the node."""
    parts, (x, residual) = Parts(impl), torch.randn(2, 3, 4, 7, 5, dtype=torch.float64)
    onto = [residual.requires_grad_()]
    if keeps:
        onto.append(torch.tensor([0.0, 1.25, 2.0], dtype=torch.float64).view(3, 1, 1, 1))
    leaves, grad = [x.requires_grad_(), residual, *parts.leaves], torch.randn_like(x)
    results = []
    for out in (parts.apart(x, *onto), parts.together(x, *onto)):
        results.append([out, *torch.autograd.grad(out, leaves, grad)])
    for expected, actual in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
def test_kernels_in_half_precision(dtype: torch.dtype) -> None:
    """Both passes by kernels, against the parts in float64 from the same rounded numbers."""
    parts = Parts('triton', dtype=dtype)
    x = torch.randn(3, 4, 7, 5, dtype=dtype).to(memory_format=torch.channels_last)
    assert parts.op.passes[2](x)
    exact = Parts('reference')
    with torch.no_grad():
        for ours, theirs in zip(parts.leaves, exact.leaves, strict=True):
            theirs.copy_(ours)
    keep = torch.tensor([0.0, 1.25, 2.0]).view(3, 1, 1, 1)
    inputs = x.requires_grad_(), x.detach().double().requires_grad_()
    outs = [
        run(value, value, keep.to(value.dtype))
        for run, value in zip((parts.together, exact.apart), inputs, strict=True)
    ]
    grad = torch.randn_like(x)
    found, expected = (
        [out, *torch.autograd.grad(out, [value, *p.leaves], grad.to(out.dtype))]
        for out, value, p in zip(outs, inputs, (parts, exact), strict=True)
    )
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        assert (ours - theirs).norm() < 16 * torch.finfo(dtype).eps * (1 + theirs.norm())


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
    assert sorted(shapes) == [(2, 4, 3, 5), (2, 9), (2, 18, 3, 5)]


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
        fused, half = choose_op('matrix', 'triton'), x.half()
        assert not can_project_matrix(fused, half, alpha, mask, 'pool')
        last = half.to(memory_format=torch.channels_last)
        assert can_project_matrix(fused, last, alpha, mask, 'pool')
