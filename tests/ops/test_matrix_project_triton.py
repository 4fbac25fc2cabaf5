"""The kernels from U to the block's output, against the parts in float64."""

import pytest
import torch
from torch import Tensor

from vminet_mm.ops import make_mask, mask_spans, reference
from vminet_mm.ops import matrix_project_triton as fused
from vminet_mm.ops.project import add_branch

NATIVE = (3, 5)
EPS = {torch.float16: 2e-3, torch.bfloat16: 2e-2}
LAST = torch.channels_last


class Case:
    """U, the weights of a block and its fields.

    Args:
        size: (H, W).
        channels: C; D is ``hidden``.
        dtype: Of U and X.
        weight_dtype: Of the weights, under autocast another one.
    """

    def __init__(
        self,
        device: torch.device,
        size: tuple[int, int] = NATIVE,
        mask: str = 'tril',
        channels: int = 5,
        hidden: int = 9,
        batch: int = 3,
        dtype: torch.dtype = torch.float16,
        weight_dtype: torch.dtype | None = None,
    ) -> None:
        def random(*shape: int) -> Tensor:
            return torch.randn(*shape, device=device)

        images = random(batch, channels, *size), random(batch, channels, *size)
        self.x, self.residual = (t.to(dtype).to(memory_format=LAST) for t in images)
        edges = ((hidden, channels), (hidden, channels), (channels, hidden))
        pairs = [(random(*e, 1, 1) * e[1] ** -0.5, random(e[0])) for e in edges]
        self.linears = tuple(t.to(weight_dtype or dtype) for pair in pairs for t in pair)
        mask = make_mask(mask, NATIVE[0] * NATIVE[1], hidden).to(device)
        scale, beta = torch.tensor([0.7], device=device), torch.tensor([1.3], device=device)
        self.fields = 0.3 * random(*NATIVE), mask, scale, beta
        self.keep = torch.tensor([0.0, 1.25, 2.0], device=device).view(-1, 1, 1, 1)[:batch]
        self.spans = mask_spans(mask)

    def ours(self, residual: bool, keep: bool, resize: str = 'pool') -> tuple[Tensor, ...]:
        parts = self.residual if residual else None, self.keep.to(self.x.dtype) if keep else None
        assert fused.can_fuse(self.x)
        return fused.project(self.x, self.linears, self.fields, *parts, resize, self.spans)

    def exact(self, residual: bool, keep: bool, resize: str = 'pool') -> tuple[Tensor, Tensor]:
        """The output and Q and K, in float64."""
        wq, bq, wk, bk, w, b = (t.double() for t in self.linears)
        alpha, mask, *others = self.fields
        fields = alpha.double(), mask, *(t.double() for t in others)
        query, key = (
            torch.nn.functional.conv2d(self.x.double(), *pair) for pair in ((wq, bq), (wk, bk))
        )
        hidden = reference.separable_attention(query, key, *fields, resize)
        branch = torch.nn.functional.conv2d(hidden, w, b)
        if residual:
            factor = self.keep.double() if keep else None
            branch = add_branch(self.residual.double(), branch, factor)
        return branch, torch.cat([query, key], 1)


def check(found: tuple[Tensor, ...], expected: tuple[Tensor, Tensor], dtype: torch.dtype) -> None:
    for ours, exact in zip(found[:2], expected, strict=True):
        assert ours.dtype == dtype and ours.is_contiguous(memory_format=LAST)
        assert ours.shape == exact.shape
        # of Q and K rounded, so errors add up
        error = (ours.double() - exact).abs() / (1 + exact.abs())
        assert error.max() < 4 * EPS[dtype] and error.mean() < EPS[dtype] / 2


@pytest.mark.parametrize('resize', ['pool', 'interpolate'])
@pytest.mark.parametrize('mask', ['tril', 'band', 'none'])
@pytest.mark.parametrize('size', [(3, 5), (7, 4), (2, 3), (1, 9), (19, 17)], ids=str)
def test_masks_and_sizes(
    size: tuple[int, int], mask: str, resize: str, kernel_device: torch.device
) -> None:
    case = Case(kernel_device, size, mask)
    check(case.ours(True, True, resize), case.exact(True, True, resize), torch.float16)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(('residual', 'keep'), [(False, False), (True, False), (True, True)])
def test_with_and_without_residual(
    residual: bool, keep: bool, dtype: torch.dtype, kernel_device: torch.device
) -> None:
    case = Case(kernel_device, dtype=dtype)
    check(case.ours(residual, keep), case.exact(residual, keep), dtype)


@pytest.mark.parametrize('programs', [1, 4, 1024])
def test_many_tiles(
    programs: int, kernel_device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """70 channels, 35 of U, and 35 tokens fill no tile; a program takes all images, or one."""
    monkeypatch.setattr(fused.matrix_triton, 'PROGRAMS', programs)
    monkeypatch.setattr(fused, 'MAX_TOKENS', 16)
    monkeypatch.setattr(fused, 'EMBED_TILE', 512)
    monkeypatch.setattr(fused, 'PROJECT_TILE', 1024)
    case = Case(kernel_device, (5, 7), channels=35, hidden=70)
    check(case.ours(True, True), case.exact(True, True), torch.float16)


def test_context_is_that_of_rounded_q_and_k(kernel_device: torch.device) -> None:
    """The backward pass computes E from Q and K as they are kept."""
    case = Case(kernel_device, (7, 4))
    _, query_key, context = case.ours(False, False)
    query, key = query_key.double().chunk(2, 1)
    alpha, mask, *_ = case.fields
    expected = reference.context(query.clamp(0, 6) * key, alpha.double(), mask, 'pool')
    assert context.dtype == torch.float32
    torch.testing.assert_close(context.double(), expected.view_as(context), rtol=1e-4, atol=1e-4)


def test_autocast_takes_float32(kernel_device: torch.device) -> None:
    """Weights of float32, U of a norm that returns float32, X of an earlier layer."""
    case = Case(kernel_device, dtype=torch.float32)
    assert not fused.can_fuse(case.x)
    with torch.autocast(kernel_device.type, torch.bfloat16):
        out, query_key, _ = case.ours(True, False)
    assert (out.dtype, query_key.dtype) == (torch.float32, torch.bfloat16)
    error = (out.double() - case.exact(True, False)[0]).norm() / out.norm()
    assert error < EPS[torch.bfloat16]


def test_range_of_float16(kernel_device: torch.device) -> None:
    """E leaves the range, what is made of it comes back."""
    case = Case(kernel_device, mask='none')
    case.linears[3].fill_(60000)  # K, so that E is up to 360000
    case.fields[3].fill_(1e-6)
    out = case.ours(True, False)[0]
    assert out.isfinite().all()
    check((out,), case.exact(True, False)[:1], torch.float16)


def test_what_is_not_fused(kernel_device: torch.device) -> None:
    x = torch.ones(2, 4, 3, 5, dtype=torch.float16, device=kernel_device)
    assert not fused.can_fuse(x)
    assert fused.can_fuse(x.to(memory_format=LAST))
    assert not fused.can_fuse(x[:0].to(memory_format=LAST))


def test_registered_ops(kernel_device: torch.device) -> None:
    case = Case(kernel_device, (7, 4))
    alpha, mask, scale, beta = case.fields
    options = torch.float16, 'pool', *case.spans
    torch.library.opcheck(fused._embed, (case.x, *case.linears[:4], alpha, mask, *options))
    _, query_key, context = case.ours(False, False)
    for parts in ((None, None), (case.residual, case.keep.half())):
        torch.library.opcheck(
            fused._project, (query_key, context, scale, beta, *case.linears[4:], *parts)
        )
