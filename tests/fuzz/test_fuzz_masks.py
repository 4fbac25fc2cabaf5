"""The masks against their definition, entry by entry (Section 2 of the design)."""

import math

import torch
from fuzz_strategies import MASKS, SEEDS
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vminet_mm.ops import make_mask, mask_spans, stage_masks

COUNTS = st.one_of(st.integers(1, 12), st.integers(1, 80))


def reaches(
    name: str, token: int, channel: int, num_tokens: int, num_channels: int, halfwidth: float
) -> bool:
    """Whether token i reaches channel n; both count from 1, as in the paper."""
    shorter = min(num_tokens, num_channels)
    if name == 'tril':
        return token >= channel
    if name == 'band':
        return abs(token - channel) <= math.floor(halfwidth * shorter)
    if name == 'block':
        edge = 2 * math.floor(shorter / 2)
        return max(token, channel) <= edge and math.ceil(token / 2) == math.ceil(channel / 2)
    return True


def check_spans(mask: Tensor) -> None:
    """The rows are true for all channels from ``mixed``, and for none from ``whole``, and no
    smaller numbers would do."""
    rows = mask.tolist()
    mixed, whole = mask_spans(mask)
    assert 0 <= mixed <= whole <= len(rows)
    assert all(all(row) for row in rows[mixed:whole])
    assert not any(any(row) for row in rows[whole:])
    assert whole == 0 or any(rows[whole - 1])
    assert mixed == 0 or not all(rows[mixed - 1])


@given(MASKS, COUNTS, COUNTS, st.floats(0, 1))
def test_definition(name: str, num_tokens: int, num_channels: int, halfwidth: float) -> None:
    mask = make_mask(name, num_tokens, num_channels, halfwidth)
    expected = [
        [
            reaches(name, token, channel, num_tokens, num_channels, halfwidth)
            for channel in range(1, num_channels + 1)
        ]
        for token in range(1, num_tokens + 1)
    ]
    assert mask.dtype == torch.bool and mask.tolist() == expected
    check_spans(mask)


@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([0.1, 0.5, 0.9]), SEEDS)
def test_spans_of_any_mask(num_tokens: int, num_channels: int, fraction: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(num_tokens, num_channels, generator=generator) < fraction
    check_spans(mask)
    assert mask_spans(torch.zeros_like(mask)) == (0, 0)


@given(st.one_of(MASKS, st.just('hybrid')), st.integers(0, 3), st.integers(0, 20))
def test_masks_of_a_stage(name: str, stage: int, depth: int) -> None:
    names = stage_masks(name, stage, depth)
    assert len(names) == depth
    for block, found in enumerate(names, start=1):
        in_turn = 'tril' if block % 2 else 'band'
        hybrid = 'band' if stage + 1 <= 2 else in_turn
        assert found == (hybrid if name == 'hybrid' else name)
