"""Which implementation is chosen, and what a wrong name gets."""

import importlib.util
import sys

import pytest
import torch

from vminet_mm.ops import choose_op
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
    assert choose_op('matrix').__module__ == 'vminet_mm.ops.matrix_triton'


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
    with pytest.raises(ValueError, match="unknown form 'circular'; choose one of matrix, rec"):
        choose_op('circular')
    with pytest.raises(ValueError, match="unknown impl 'cuda'; choose one of auto, torch"):
        choose_op('matrix', 'cuda')
