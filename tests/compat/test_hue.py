import colorsys
from types import SimpleNamespace

import numpy as np
import pytest

import vminet_mm  # noqa: F401
from vminet_mm.compat import hue


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
@pytest.mark.parametrize('shift', [-0.5, -0.3, -0.01, 0.0, 0.2, 0.5])
def test_a_color_is_shifted_round_the_circle(backend, shift):
    import mmcv

    blue, green, red = 40, 90, 200
    image = np.full((3, 4, 3), (blue, green, red), np.uint8)
    shifted = mmcv.adjust_hue(image, shift, backend=backend)
    h, s, v = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    expected = [255 * c for c in colorsys.hsv_to_rgb((h + shift) % 1, s, v)][::-1]
    assert shifted.shape == image.shape
    assert np.abs(shifted[0, 0].astype(float) - expected).max() < 6  # 8-bit HSV is coarse


def test_a_shift_out_of_range_is_still_refused():
    import mmcv

    with pytest.raises(ValueError, match='hue_factor'):
        mmcv.adjust_hue(np.zeros((2, 2, 3), np.uint8), 0.6)


def test_off_where_numpy_wraps_around(monkeypatch):
    module = SimpleNamespace(adjust_hue=len)
    monkeypatch.setattr(hue, '_numpy_wraps_around', lambda: True)
    hue.fix(module)
    assert module.adjust_hue is len


@pytest.mark.filterwarnings("ignore:Only use 'alpha'")
def test_color_jitter_of_mmpretrain_runs():
    from mmpretrain.datasets.transforms import ColorJitter

    transform = ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.5)
    for seed in range(8):
        np.random.seed(seed)
        image = np.random.randint(0, 256, (8, 8, 3), np.uint8)
        assert transform({'img': image})['img'].shape == image.shape
