"""Run-length codes are read as pycocotools reads them."""

import numpy as np
import pytest
from pycocotools import mask as masks

from vminet_mm.datasets.checks.coco_codes import code_runs


@pytest.mark.parametrize('size', [(1, 1), (3, 1), (7, 40), (300, 411)])
@pytest.mark.parametrize('fraction', [0.0, 0.02, 0.5, 1.0])
def test_runs_of_a_compressed_code(size: tuple[int, int], fraction: float) -> None:
    mask = np.random.default_rng(1).random(size) < fraction
    mask[: size[0] // 2] |= fraction == 0.02  # long runs, whose differences are below 0, too
    code = masks.encode(np.asfortranarray(mask, dtype=np.uint8))
    runs = code_runs(dict(code, counts=code['counts'].decode()))
    values = np.arange(len(runs)) % 2
    assert np.array_equal(np.repeat(values, runs), mask.T.ravel())


@pytest.mark.parametrize(
    ('counts', 'runs'),
    [
        ([3, 0, 2], [3, 0, 2]),
        ('', []),
        ('523', [5, 2, 3]),
        ('5230', [5, 2, 3, 2]),  # the fourth run is told by its difference from the second
        ('523M', None),  # of -1: 2 - 3
        ('é', None),
        ('abc', None),
        ('PPPPPPPP0', None),
        ([1.5], None),
        ([True], None),
        ([-1], None),
        (None, None),
    ],
)
def test_runs(counts: object, runs: list | None) -> None:
    found = code_runs(dict(size=[1, 1], counts=counts))
    assert (found if found is None else found.tolist()) == runs


@pytest.mark.parametrize('code', ['abc', 7, None, [[1, 2]]])
def test_no_code(code: object) -> None:
    assert code_runs(code) is None
