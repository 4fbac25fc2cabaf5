"""The masks, against matrices written out by hand and the definition (Section 2 of the design)."""

import pytest
import torch

from vminet_mm.ops import MASKS, make_mask, stage_masks

BY_HAND = {
    # token i reaches channel n where i >= n
    ('tril', 3, 5): ['10000', '11000', '11100'],
    ('tril', 4, 2): ['10', '11', '11', '11'],
    # B = 3, half-width 1
    ('band', 3, 5): ['11000', '11100', '01110'],
    ('band', 4, 3): ['110', '111', '011', '001'],
    # B = 3: the leading 2 x 2 square alone; B = 4: two blocks
    ('block', 3, 5): ['11000', '11000', '00000'],
    ('block', 5, 4): ['1100', '1100', '0011', '0011', '0000'],
    ('none', 2, 3): ['111', '111'],
    # a single token
    ('tril', 1, 3): ['100'],
    ('band', 1, 3): ['100'],
    ('block', 1, 3): ['000'],
}


@pytest.mark.parametrize(('case', 'rows'), BY_HAND.items(), ids=str)
def test_by_hand(case: tuple, rows: list[str]) -> None:
    expected = torch.tensor([[c == '1' for c in row] for row in rows])
    assert torch.equal(make_mask(*case), expected)


@pytest.mark.parametrize('halfwidth', [0.0, 0.25, 0.5, 1.0])
def test_band_halfwidth(halfwidth: float) -> None:
    mask = make_mask('band', 9, 6, band_halfwidth=halfwidth)
    reach = int(halfwidth * 6)
    for token in range(9):
        for channel in range(6):
            assert mask[token, channel] == (abs(token - channel) <= reach)


@pytest.mark.parametrize('name', MASKS)
def test_dtype_and_shape(name: str) -> None:
    mask = make_mask(name, 7, 12)
    assert mask.dtype == torch.bool and mask.shape == (7, 12)


def test_hybrid() -> None:
    assert stage_masks('hybrid', 0, 2) == ['band', 'band']
    assert stage_masks('hybrid', 1, 1) == ['band']
    assert stage_masks('hybrid', 2, 5) == ['tril', 'band', 'tril', 'band', 'tril']
    assert stage_masks('hybrid', 3, 2) == ['tril', 'band']
    assert stage_masks('block', 2, 3) == ['block'] * 3


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="'diag'; choose one of tril"):
        make_mask('diag', 3, 3)
    with pytest.raises(ValueError, match="unknown mask 'diag'.*hybrid"):
        stage_masks('diag', 0, 2)
