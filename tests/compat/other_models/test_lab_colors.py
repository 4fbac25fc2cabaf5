import numpy as np
import pytest

import vminet_mm  # noqa: F401
from vminet_mm.compat.other_models import lab_colors

# CIE L*a*b* under D65 of pure sRGB colors, as tables of them print
COLORS = {
    (255, 255, 255): (100, 0, 0),
    (0, 0, 0): (0, 0, 0),
    (255, 0, 0): (53.24, 80.09, 67.20),
    (0, 255, 0): (87.73, -86.18, 83.18),
    (0, 0, 255): (32.30, 79.19, -107.86),
}


@pytest.mark.parametrize(('rgb', 'lab'), COLORS.items())
def test_colors_from_tables(rgb, lab):
    image = np.full((2, 3, 3), rgb, np.uint8)
    for given in (image, image / 255):
        converted = lab_colors.rgb2lab(given)
        assert converted.shape == (2, 3, 3)
        assert np.abs(converted - lab).max() < 0.3


def test_boxinst_has_it_and_an_installed_package_stays():
    from mmdet.models.data_preprocessors import data_preprocessor

    white = np.full((1, 1, 3), 255, np.uint8)
    assert data_preprocessor.skimage.color.rgb2lab(white)[0, 0] == pytest.approx((100, 0, 0), abs=1)
    installed = type(data_preprocessor)('module')
    installed.skimage = 'the package'
    lab_colors.fix(installed)
    assert installed.skimage == 'the package'
