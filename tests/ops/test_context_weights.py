"""The weights of the context sum, against the gradient of its definition."""

import pytest
import torch
from torch import Tensor

from vminet_mm.ops import context, make_mask, mask_spans
from vminet_mm.ops.context_weights import ContextWeights

NATIVE = (3, 5)
SIZES = [(3, 5), (7, 4), (2, 3), (1, 1), (12, 31), (3, 9)]
MASKS = ['tril', 'band', 'block', 'none']


def weights_of_definition(alpha: Tensor, mask: Tensor, size: tuple, resize: str) -> Tensor:
    """d c[n] / d E[n, i] (D, L): c is linear in E."""
    embedding = torch.zeros(1, mask.shape[1], *size, dtype=alpha.dtype, requires_grad=True)
    (weights,) = torch.autograd.grad(context(embedding, alpha, mask, resize).sum(), embedding)
    return weights[0].flatten(1)


@pytest.mark.parametrize('hinted', [True, False])
@pytest.mark.parametrize('resize', ['pool', 'interpolate'])
@pytest.mark.parametrize('mask', MASKS)
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_build(size: tuple[int, int], mask: str, resize: str, hinted: bool) -> None:
    alpha, mask = torch.randn(NATIVE).double(), make_mask(mask, 15, 7)
    spans = mask_spans(mask) if hinted else (15, 15)
    shared, table = ContextWeights(NATIVE, size, resize, spans).build(alpha, mask)
    assert len(shared) + table.shape[1] == size[0] * size[1]
    weights = torch.cat([table, shared.expand(7, -1)], 1)
    torch.testing.assert_close(weights, weights_of_definition(alpha, mask, size, resize))


@pytest.mark.parametrize('resize', ['pool', 'interpolate'])
@pytest.mark.parametrize('mask', MASKS)
@pytest.mark.parametrize('size', SIZES, ids=str)
def test_alpha_gradient_is_the_adjoint(size: tuple[int, int], mask: str, resize: str) -> None:
    alpha, mask = torch.randn(NATIVE).double(), make_mask(mask, 15, 7)
    weights = ContextWeights(NATIVE, size, resize, mask_spans(mask))
    built = weights.build(alpha, mask)
    grads = [torch.randn_like(x) for x in built]
    product = sum((x * grad).sum() for x, grad in zip(built, grads, strict=True))
    torch.testing.assert_close((weights.alpha_gradient(*grads, mask) * alpha).sum(), product)


def test_table_holds_few_tokens() -> None:
    # stage 1 of XS at 800 x 1280: 95 masked cells are in two rows of 56, so in 8 rows of 200
    spans = mask_spans(make_mask('tril', 56 * 56, 96))
    assert ContextWeights((56, 56), (200, 320), 'pool', spans).table_rows == (8, 3)
    assert ContextWeights((56, 56), (56, 56), 'pool', spans).table_rows == (2, 2)
    assert ContextWeights((56, 56), (200, 320), 'interpolate', spans).table_rows == (200, 56)
    assert ContextWeights((56, 56), (200, 320), 'interpolate', (0, 3136)).table_rows == (0, 0)
