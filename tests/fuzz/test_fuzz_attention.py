"""Every implementation of VMI-SA against its definition: output and gradients at random shapes.

The Triton kernels run interpreted where there is no GPU.
"""

from collections.abc import Callable
from functools import partial

import torch
from fuzz_strategies import FORMS, MASKS, RECURRENT_MASKS, RESIZES, SEEDS, Tensors, grids
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vminet_mm.ops import choose_op, make_mask, mask_spans

DEVICE = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
LEARNED = ('query', 'key', 'alpha', 'beta', 'scale')


def layout(x: Tensor, name: str) -> Tensor:
    """The same values, elsewhere in memory."""
    if 'last' in name:
        x = x.contiguous(memory_format=torch.channels_last)
    if 'half' in name:  # of the channels of a tensor
        x = torch.cat([x, x], 1).contiguous(
            memory_format=torch.channels_last if 'last' in name else torch.contiguous_format
        )
        x = x.chunk(2, 1)[1]
    return x


@st.composite
def fields(draw: st.DrawFn, largest: int) -> Tensors:
    """Inputs of the matrix form; the recurrent form takes all of them but the scale."""
    size, native = draw(grids(largest))
    batch, channels = draw(st.integers(0, 3)), draw(st.integers(1, 9))
    in_memory = draw(st.sampled_from(['contiguous', 'half', 'last', 'last half']))
    torch.manual_seed(draw(SEEDS))
    query, key = torch.randn(2, batch, channels, *size, dtype=torch.float64)
    mask = make_mask(draw(MASKS), native[0] * native[1], channels)
    if draw(st.booleans()):  # a mask of no kind
        mask = torch.rand(mask.shape) < 0.7
    return Tensors(
        query=layout(3 * query, in_memory).to(DEVICE),
        key=layout(key, in_memory).to(DEVICE),
        alpha=torch.randn(native, dtype=torch.float64, device=DEVICE),
        mask=mask.to(DEVICE),
        beta=torch.randn(native, dtype=torch.float64, device=DEVICE),
        scale=torch.randn(1, dtype=torch.float64, device=DEVICE),
    )


def outcome(attend: Callable, given_fields: dict[str, Tensor]) -> dict[str, Tensor]:
    """The output, and the gradient of a weighted sum of it."""
    x = {
        name: value.detach().requires_grad_() if name in LEARNED else value
        for name, value in given_fields.items()
    }
    out = attend(**x)
    weights = torch.linspace(-1, 2, out.numel(), dtype=out.dtype, device=out.device)
    learned = [name for name in LEARNED if name in x]
    gradients = torch.autograd.grad(
        (out * weights.view(out.shape)).sum(), [x[name] for name in learned]
    )
    return dict(zip(learned, gradients, strict=True)) | {'out': out.detach()}


def check(form: str, impl: str, x: dict[str, Tensor], option: str, hinted: bool) -> None:
    """Compare an implementation with the definition."""
    if form == 'matrix':
        x = x | dict(beta=x['beta'].flatten()[:1])
        spans = mask_spans(x['mask']) if hinted else None
        options = dict(context_resize=option, spans=spans)
    else:
        x = {name: value for name, value in x.items() if name != 'scale'}
        options = dict(recurrent_mask=option)
    expected = outcome(partial(choose_op(form, 'reference'), **options), x)
    actual = outcome(partial(choose_op(form, impl), **options), x)
    for name, value in expected.items():
        assert value.isfinite().all() and actual[name].shape == x.get(name, x['query']).shape
        torch.testing.assert_close(actual[name], value, msg=lambda m, n=name: f'{n}: {m}')


@given(fields(9), RESIZES, st.booleans())
def test_matrix_torch(x: Tensors, resize: str, hinted: bool) -> None:
    assert x['query'].shape == x['key'].shape
    check('matrix', 'torch', x, resize, hinted)


@given(fields(9), RECURRENT_MASKS)
def test_recurrent_torch(x: Tensors, recurrent_mask: str) -> None:
    assert x['alpha'].shape == x['beta'].shape
    check('recurrent', 'torch', x, recurrent_mask, hinted=False)


@given(fields(5), FORMS, RESIZES, RECURRENT_MASKS, st.booleans())
def test_triton(x: Tensors, form: str, resize: str, recurrent_mask: str, hinted: bool) -> None:
    assert len(x['mask']) == x['alpha'].numel()
    check(form, 'triton', x, resize if form == 'matrix' else recurrent_mask, hinted)
