"""Which scan is chosen, and that a kernel is compared before it is used."""

import sys
from types import ModuleType

import pytest
import torch

from vminet_mm.ops.selective_scan import choose_scan, implementations, reference, scan_name
from vminet_mm.ops.selective_scan.chunked_torch import selective_scan

SPOILED = {
    'right': lambda x: x,
    'y': lambda x: dict(x, u=2 * x['u']),
    'B': lambda x: dict(x, B=x['B'].detach() + 0 * x['B']),
}


def install(monkeypatch: pytest.MonkeyPatch, spoil=SPOILED['right']) -> None:
    """A package in place of mamba_ssm, for the CPU."""

    def kernel(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
        x = spoil(dict(u=u, delta=delta, A=A, B=B, C=C, D=D, delta_bias=delta_bias))
        return reference.selective_scan(**x, delta_softplus=delta_softplus)

    module = ModuleType('mamba_ssm.ops.selective_scan_interface')
    module.selective_scan_fn = kernel
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(implementations, '_has_kernel', lambda: True)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.Tensor, 'is_cuda', property(lambda x: True))
    difference = implementations._first_difference
    monkeypatch.setattr(implementations, '_first_difference', lambda device: difference('cpu'))
    implementations.kernel_is_right.cache_clear()
    monkeypatch.setattr(
        implementations, 'kernel_is_right', implementations.kernel_is_right.__wrapped__
    )


def test_choice_without_the_package() -> None:
    assert choose_scan() is choose_scan('torch') is selective_scan
    assert choose_scan('reference') is reference.selective_scan
    assert [scan_name(choose_scan(name)) for name in ('torch', 'reference')] == [
        'torch',
        'reference',
    ]
    assert scan_name(implementations.kernel_scan, 'cpu') == 'torch'
    with pytest.raises(ImportError, match="install it or use impl='torch'"):
        choose_scan('mamba_ssm')
    with pytest.raises(ValueError, match="'cuda'; choose one of auto"):
        choose_scan('cuda')


@pytest.mark.parametrize('spoil', SPOILED)
def test_a_kernel_is_compared(spoil: str, monkeypatch: pytest.MonkeyPatch, log: list[str]) -> None:
    install(monkeypatch, SPOILED[spoil])
    is_right = spoil == 'right'
    assert scan_name(choose_scan()) == ('mamba_ssm' if is_right else 'torch')
    message = {'y': 'its output differs', 'B': 'the gradient of B differs'}
    assert is_right == (not log) and all(message[spoil] in line for line in log)


def test_a_kernel_that_does_not_run(monkeypatch: pytest.MonkeyPatch, log: list[str]) -> None:
    def broken(x: dict) -> dict:
        raise RuntimeError('undefined symbol\nof another torch')

    install(monkeypatch, broken)
    assert scan_name(choose_scan()) == 'torch'
    assert 'undefined symbol of another torch' in log[0]


def test_the_kernel_gets_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {}
    install(monkeypatch, lambda x: seen.update(x) or x)
    half = dict(dtype=torch.float16)
    tokens = [
        torch.rand(1, 2, 5, **half),
        torch.rand(1, 2, 5),
        torch.rand(1, 3, 5),
        torch.rand(1, 3, 5),
    ]
    y = choose_scan('mamba_ssm')(
        *tokens[:2], -torch.rand(2, 3, **half), *tokens[2:], torch.rand(2, **half)
    )
    assert y.dtype == torch.float16
    assert {name: x.dtype for name, x in seen.items() if x is not None} == {
        **dict.fromkeys(('u', 'delta', 'B', 'C'), torch.float16),
        **dict.fromkeys(('A', 'D'), torch.float32),
    }
