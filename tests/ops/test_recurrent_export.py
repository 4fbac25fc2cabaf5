"""The recurrent form for export against the loop, at sizes known and sizes left open."""

from pathlib import Path

import pytest
import torch
from onnx_function import onnx_function
from recurrent_cases import inputs

from vminet_mm.ops import recurrent_torch
from vminet_mm.ops.recurrent_export import recurrent_attention
from vminet_mm.ops.recurrent_reference import recurrent_attention as definition

CPU = torch.device('cpu')
recurrent_masks = pytest.mark.parametrize('recurrent_mask', ['readout', 'inside'])


@recurrent_masks
@pytest.mark.parametrize('mask', ['tril', 'band', 'block', 'none'])
@pytest.mark.parametrize('size', [(3, 5), (1, 1), (7, 9), (2, 31), (12, 4)], ids=str)
def test_output(size: tuple[int, int], mask: str, recurrent_mask: str) -> None:
    x = inputs(size, (3, 5), 7, 2, mask, CPU, torch.float64)
    actual, expected = (
        f(**x, recurrent_mask=recurrent_mask) for f in (recurrent_attention, definition)
    )
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


def test_nearest_cells_of_many_sizes() -> None:
    # cells and tokens whose ratio has no exact float are where rounding could take another one
    for cells in (7, 14):
        for tokens in (*range(1, 100), 333, 1001):
            x = inputs((1, tokens), (1, cells), 3, 1, 'band', CPU)
            expected = recurrent_torch.recurrent_attention(**x)
            torch.testing.assert_close(recurrent_attention(**x), expected, rtol=1e-4, atol=1e-5)


def test_low_precision() -> None:
    x = inputs((7, 6), (3, 5), 7, 2, 'tril', CPU, torch.float16)
    actual, expected = recurrent_attention(**x), definition(**x)
    assert actual.dtype == torch.float16
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=0)


def test_onnx_with_open_sizes(tmp_path: Path) -> None:
    x = inputs((4, 7), (3, 5), 7, 2, 'tril', CPU, layout='contiguous')
    fields = {name: x[name] for name in ('alpha', 'mask', 'beta')}
    run = onnx_function(lambda *maps: recurrent_attention(*maps, **fields), x, tmp_path)
    for size in [(3, 5), (1, 1), (7, 9), (2, 31), (14, 50)]:
        x = inputs(size, (3, 5), 7, 2, 'tril', CPU, layout='contiguous')
        expected = definition(x['query'], x['key'], **fields)
        torch.testing.assert_close(run(x), expected, rtol=1e-5, atol=1e-5)
