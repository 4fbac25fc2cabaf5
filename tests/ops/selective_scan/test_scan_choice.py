"""Which scan is chosen, and that a kernel is compared before it is used."""

import sys
from types import ModuleType

import pytest
import torch
from scan_cases import make_inputs, run

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


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('states', [16, 1])
def test_a_kernel_is_compared_in_each_of_its_kinds(
    dtype: torch.dtype, states: int, monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    """It is compiled apart for each dtype and, in places, for few states."""

    def spoil(x: dict) -> dict:
        is_meant = x['u'].dtype == dtype and x['A'].shape[1] == states
        return dict(x, C=1.2 * x['C']) if is_meant else x

    install(monkeypatch, spoil)
    assert scan_name(choose_scan()) == 'torch'
    assert f'its output differs in {str(dtype)[6:]} with {states} states' in log[0]


def test_a_kernel_rounds_as_half_precision_does(
    monkeypatch: pytest.MonkeyPatch, log: list[str]
) -> None:
    """It may multiply in another order: the last digit of each result is its own."""
    install(monkeypatch, lambda x: dict(x, u=x['u'] * (1 - torch.finfo(x['u'].dtype).eps)))
    assert scan_name(choose_scan()) == 'mamba_ssm' and not log


@pytest.mark.parametrize('name', ['torch', 'reference', 'mamba_ssm'])
def test_shapes_are_checked(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    scan, good = choose_scan(name), make_inputs(2, 6, 5, 3, 2, torch.float32)
    for key, shape in {
        'B': (2, 2, 3, 4),
        'C': (2, 2, 3, 4),
        'delta': (2, 6, 4),
        'A': (5, 3),
        'D': (5,),
        'delta_bias': (1,),
    }.items():
        with pytest.raises(ValueError, match=rf'^{key} of a selective scan must be \('):
            scan(**good | {key: torch.rand(shape)})
    for key, shape, message in (
        ('C', (2, 3, 5), '^C of a selective scan'),  # without groups, beside B with two
        ('B', (2, 4, 3, 5), 'G divides the 6 channels'),
        ('u', (6, 5), r'^u is \(B, D, L\)'),
        ('u', (2, 6, 0), 'a token at least'),
    ):
        with pytest.raises(ValueError, match=message):
            scan(**good | {key: torch.rand(shape)})


@pytest.mark.parametrize('name', ['torch', 'reference', 'mamba_ssm'])
def test_an_empty_batch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    inputs = make_inputs(0, 6, 5, 3, 2, torch.float32)
    found = run(choose_scan(name), inputs)
    assert found['y'].shape == (0, 6, 5)
    assert {key: found[key].shape for key in inputs} == {k: x.shape for k, x in inputs.items()}
    assert not found['A'].any()


def test_meta_tensors_have_shapes_and_gradients() -> None:
    inputs = {k: x.to('meta') for k, x in make_inputs(2, 6, 5, 3, 2, torch.float32).items()}
    found = run(selective_scan, inputs)
    assert found['y'].is_meta and found['y'].shape == (2, 6, 5)
    assert {key: found[key].shape for key in inputs} == {k: x.shape for k, x in inputs.items()}
