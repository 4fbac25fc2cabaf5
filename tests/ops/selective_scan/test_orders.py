"""The orders of scans on small maps, by hand."""

import pytest
import torch

from vminet_mm.ops.selective_scan.orders import scan_order, scan_steps

# of a map of 2 x 3 tokens: 0 1 2 / 3 4 5
BY_HAND = {
    'row': [0, 1, 2, 3, 4, 5],
    'row_reversed': [5, 4, 3, 2, 1, 0],
    'column': [0, 3, 1, 4, 2, 5],
    'column_reversed': [5, 2, 4, 1, 3, 0],
    'zigzag_row': [0, 1, 2, 5, 4, 3],
    'zigzag_column': [0, 3, 4, 1, 2, 5],
    'zigzag_row_reversed': [3, 4, 5, 2, 1, 0],
    'window2': [0, 1, 3, 4, 2, 6, 5, 6],  # 6 is empty
    'window2_reversed': [6, 5, 6, 2, 4, 3, 1, 0],
    'atrous2_00_row': [0, 2],
    'atrous2_10_row': [3, 5],
    'atrous2_01_column': [1],
    'atrous1_00_column': [0, 3, 1, 4, 2, 5],
}


@pytest.mark.parametrize('name', BY_HAND)
def test_by_hand(name: str) -> None:
    order = scan_order(name, (2, 3))
    assert order.index.values.tolist() == BY_HAND[name]
    x = 1 + torch.arange(6.0)[None, None]
    taken = order.take(x)
    assert taken.tolist() == [[[x + 1 if x < 6 else 0 for x in BY_HAND[name]]]]
    back = order.put(taken)
    expected = torch.where(torch.isin(torch.arange(6), order.index.beside(x)), x, 0.0)
    assert torch.equal(back, expected)


@pytest.mark.parametrize('size', [(1, 1), (5, 1), (1, 4), (7, 9), (8, 6)], ids=str)
def test_every_token_once(size: tuple[int, int]) -> None:
    tokens = size[0] * size[1]
    for name in ('row', 'column', 'zigzag_row', 'zigzag_column', 'window2', 'window7'):
        for ending in ('', '_reversed'):
            index = scan_order(name + ending, size).index.values
            assert sorted(index[index < tokens].tolist()) == list(range(tokens))
    parts = ('00', '01', '10', '11')
    parts = [scan_order(f'atrous2_{part}_row', size).index.values.tolist() for part in parts]
    assert sorted(sum(parts, [])) == list(range(tokens))


def test_gradients_go_back() -> None:
    order = scan_order('window2', (3, 3))
    x = torch.arange(9.0).requires_grad_()
    order.put(order.take(x) * 2).sum().backward()
    assert x.grad.tolist() == [2] * 9


def test_steps() -> None:
    assert scan_steps('zigzag_row', (2, 3)).values.tolist() == [0, 1, 1, 4, 2, 2]
    assert scan_steps('zigzag_row_reversed', (2, 3)).values.tolist() == [0, 1, 1, 3, 2, 2]
    assert scan_steps('zigzag_column', (2, 3)).values.tolist() == [0, 4, 1, 3, 1, 4]
    assert scan_steps('zigzag_column_reversed', (2, 3)).values.tolist() == [0, 3, 2, 4, 2, 3]
    assert scan_steps('zigzag_row', (3, 1)).values.tolist() == [0, 4, 4]


@pytest.mark.parametrize('name', ['diagonal', 'window0', 'window', 'atrous2_row', 'row_', 'zigzag'])
def test_unknown(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}'; such as row"):
        scan_order(name, (2, 2))
