"""The matrix form for export against the definition, at sizes known and sizes left open."""

from pathlib import Path

import pytest
import torch
from onnx_function import onnx_function
from test_matrix_torch import NATIVE, SIZES, inputs

from vminet_mm.ops.matrix_export import separable_attention
from vminet_mm.ops.reference import separable_attention as definition


@pytest.mark.parametrize('context_resize', ['pool', 'interpolate'])
@pytest.mark.parametrize('mask', ['tril', 'band', 'block', 'none'])
@pytest.mark.parametrize('native', NATIVE, ids=str)
@pytest.mark.parametrize('size', [*SIZES, (2, 31)], ids=str)
def test_output(
    size: tuple[int, int], native: tuple[int, int], mask: str, context_resize: str
) -> None:
    x = inputs(size, native, mask, torch.float64)
    expected = definition(**x, context_resize=context_resize)
    for spans in (x['spans'], None):
        actual = separable_attention(**x | {'spans': spans}, context_resize=context_resize)
        torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_low_precision(dtype: torch.dtype) -> None:
    x = inputs((7, 6), (3, 5), dtype=dtype)
    actual, expected = separable_attention(**x), definition(**x)
    assert actual.dtype == dtype
    torch.testing.assert_close(actual, expected, rtol=torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize('context_resize', ['pool', 'interpolate'])
def test_onnx_with_open_sizes(context_resize: str, tmp_path: Path) -> None:
    x = inputs((4, 7), (3, 5))
    fields = {name: x[name] for name in ('alpha', 'mask', 'scale', 'beta', 'spans')}
    fields |= dict(context_resize=context_resize)
    run = onnx_function(lambda *maps: separable_attention(*maps, **fields), x, tmp_path)
    for size in [*SIZES, (3, 5), (60, 3)]:
        x = inputs(size, (3, 5))
        expected = definition(x['query'], x['key'], **fields)
        torch.testing.assert_close(run(x), expected, rtol=1e-5, atol=1e-5)
