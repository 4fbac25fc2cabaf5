import numpy as np
import pytest
import torch

import vminet_mm  # noqa: F401
from vminet_mm.compat.other_models import interp2d


@pytest.mark.parametrize('kind', ['linear', 'cubic'])
def test_rows_follow_y_and_columns_follow_x(kind):
    x, y = np.arange(5.0), np.arange(6.0) * 2
    table = x[None, :] + 10 * y[:, None]
    new_x, new_y = np.array([0.5, 2.25]), np.array([1.0, 3.0, 7.5])
    values = interp2d._interp2d(x, y, table, kind=kind)(new_x, new_y)
    assert values.shape == (3, 2)
    np.testing.assert_allclose(values, new_x[None, :] + 10 * new_y[:, None], atol=1e-9)


def test_mmpretrain_resizes_a_position_table():
    from mmpretrain.models.utils import resize_relative_position_bias_table

    rows = torch.arange(7.0).view(7, 1).expand(7, 7)  # grows downwards, the same in each column
    table = torch.stack([rows.flatten(), torch.ones(49)], dim=1)
    resized = resize_relative_position_bias_table(7, 11, table, 2)
    assert resized.shape == (121, 2)
    grid = resized[:, 0].view(11, 11)
    assert torch.allclose(grid, grid[:, :1].expand(11, 11), atol=1e-4)
    assert (grid[1:, 0] > grid[:-1, 0]).all()
    assert grid[5, 0] == pytest.approx(3.0, abs=1e-4)  # the center stays the center
    torch.testing.assert_close(resized[:, 1], torch.ones(121))


def test_mmseg_resizes_a_position_table():
    from mmseg.models.backbones.beit import BEiT

    sequence = torch.full((49, 3), 2.0)
    resized = BEiT._geometric_sequence_interpolation(None, 7, 11, sequence, 3)
    torch.testing.assert_close(resized, torch.full((121, 3), 2.0))


def test_scipy_itself_is_untouched():
    from scipy import interpolate

    assert interpolate.interp2d is not interp2d._interp2d
