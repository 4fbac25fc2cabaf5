"""The order of operators that runtimes are quick at computes what the folded attention does."""

import pytest
import torch

from vminet_mm.models import VMISA, VMINet, switch_to_deploy
from vminet_mm.models.serving import ServedAttention, serve


def folded(mask: str = 'tril', beta: float = 0.7, **options: object) -> VMISA:
    """With 5 x 4 tokens and 12 channels, so that the mask of some tokens is whole."""
    torch.manual_seed(0)
    attention = VMISA(6, 12, (5, 4), mask=mask, **options).eval()
    torch.nn.init.normal_(attention.alpha)
    torch.nn.init.constant_(attention.beta, beta)
    torch.nn.init.constant_(attention.scale, 1.5)
    attention.switch_to_deploy()
    return attention


@pytest.mark.parametrize('is_fixed', [False, True])
@pytest.mark.parametrize('size', [(5, 4), (1, 1), (7, 9)], ids=str)
@pytest.mark.parametrize('mask', ['tril', 'band', 'none'])
def test_same_values(mask: str, size: tuple[int, int], is_fixed: bool) -> None:
    attention, x = folded(mask), torch.randn(2, 6, *size)
    with torch.no_grad():
        expected, found = attention(x), ServedAttention(attention, is_fixed)(x)
    assert 0 < (expected > 0).float().mean() < 1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('beta', [-0.4, 1e-5, 0.0])
def test_any_beta(beta: float) -> None:
    attention, x = folded(beta=beta), torch.randn(2, 6, 5, 4)
    served = ServedAttention(attention)
    assert served.gain == (1 if abs(beta) > 1e-3 else pytest.approx(beta))
    with torch.no_grad():
        torch.testing.assert_close(served(x), attention(x), rtol=1e-5, atol=1e-5)


def test_the_given_one_is_left_alone() -> None:
    attention, x = folded(), torch.randn(1, 6, 5, 4)
    with torch.no_grad():
        before = attention(x)
        ServedAttention(attention, is_fixed=True)
        torch.testing.assert_close(attention(x), before, rtol=0, atol=0)


@pytest.mark.parametrize(('form', 'replaced'), [('matrix', 2), ('recurrent', 0)])
def test_what_is_replaced(form: str, replaced: int) -> None:
    arch = dict(base_channels=4, expansion=2, depths=(1, 0, 0, 1))
    model = VMINet(arch, img_size=64, form=form).eval()
    x = torch.randn(1, 3, 64, 96)
    serve(model)  # not folded yet
    assert not any(isinstance(m, ServedAttention) for m in model.modules())
    switch_to_deploy(model)
    with torch.no_grad():
        expected = model(x)[-1]
        serve(model)
        torch.testing.assert_close(model(x)[-1], expected, rtol=1e-4, atol=1e-5)
    assert sum(isinstance(m, ServedAttention) for m in model.modules()) == replaced
