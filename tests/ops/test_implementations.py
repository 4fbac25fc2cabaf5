"""Which implementation is chosen, and what a wrong name gets."""

import importlib.util
import sys
from types import SimpleNamespace

import pytest
import torch

from vminet_mm.ops import choose_op, implementations
from vminet_mm.ops.matrix_torch import separable_attention
from vminet_mm.ops.recurrent_torch import recurrent_attention
from vminet_mm.ops.reference import separable_attention as definition


def test_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_op('matrix', 'reference') is definition
    assert choose_op('matrix', 'torch') is separable_attention
    assert choose_op('recurrent', 'torch') is recurrent_attention
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    assert choose_op('matrix') is separable_attention
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    assert implementations.FASTEST == {}  # nothing was measured on a GPU yet
    assert choose_op('matrix') is separable_attention
    assert choose_op('matrix', 'triton').__module__ == 'vminet_mm.ops.matrix_triton'


@pytest.mark.parametrize('right', [True, False])
def test_auto_takes_what_was_measured_and_found_right(
    right: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fused = {('matrix', 'eager', torch.float16): 'triton'}
    monkeypatch.setattr(implementations, 'FASTEST', fused)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(implementations, 'kernels_are_right', lambda form: right)
    monkeypatch.setattr(implementations, '_load', lambda form, impl: lambda *args: impl)
    assert choose_op('recurrent')() == 'torch'
    op = choose_op('matrix')
    half, single = (SimpleNamespace(is_cuda=True, dtype=x) for x in (torch.float16, torch.float32))
    assert op(half, 'key') == ('triton' if right else 'torch')
    assert op(single, 'key') == 'torch'
    assert op(SimpleNamespace(is_cuda=False, dtype=torch.float16), 'key') == 'torch'
    monkeypatch.setattr(torch.compiler, 'is_compiling', lambda: True)
    assert op(half, 'key') == 'torch'


def test_auto_chooses_passes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    fused = {('matrix', 'eager', torch.float16): 'triton'}
    monkeypatch.setattr(implementations, 'FASTEST', fused)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(implementations, 'kernels_are_right', lambda form: True)
    monkeypatch.setattr(implementations, '_load', lambda form, impl: op_named(impl))
    half, single = (SimpleNamespace(is_cuda=True, dtype=x) for x in (torch.float16, torch.float32))
    there, back, can_fuse = choose_op('matrix').passes
    assert (there(half), back(half)) == ('triton forward', 'triton backward')
    assert (there(single), back(single)) == ('torch forward', 'torch backward')
    assert (can_fuse(half), can_fuse(single)) == ('triton alone', 'torch alone')


def op_named(impl: str) -> SimpleNamespace:
    parts = ('forward', 'backward', 'alone')
    return SimpleNamespace(passes=tuple(lambda x, part=part: f'{impl} {part}' for part in parts))


def test_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        sys.modules['vminet_mm.ops.implementations'],
        'find_spec',
        lambda name: None if name == 'triton' else find_spec(name),
    )
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    assert choose_op('matrix') is separable_attention
    with pytest.raises(ImportError, match="install it or use impl='torch'"):
        choose_op('matrix', 'triton')


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="'circular'; choose one of matrix"):
        choose_op('circular')
    with pytest.raises(ValueError, match="'cuda'; choose one of auto"):
        choose_op('matrix', 'cuda')
