"""``scipy.interpolate.interp2d``, which SciPy 1.14 removed, for BEiT's position tables.

On a regular grid a bivariate spline gives the same values, as SciPy's own migration guide says.
"""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from ..patching import temporarily, wrap


def _interp2d(x: Any, y: Any, z: Any, kind: str = 'linear') -> Callable[..., np.ndarray]:
    """Scipy's former ``interp2d`` on a grid, by a spline."""
    from scipy.interpolate import RectBivariateSpline

    degree = {'linear': 1, 'cubic': 3, 'quintic': 5}[kind]
    spline = RectBivariateSpline(x, y, np.asarray(z).T, kx=degree, ky=degree)
    return lambda new_x, new_y: spline(new_x, new_y).T


def _is_removed() -> bool:
    """Whether scipy's ``interp2d`` only raises."""
    from scipy import interpolate

    try:
        interpolate.interp2d([0, 1], [0, 1], [[0, 0], [0, 0]])
    except NotImplementedError:  # what is left of it
        return True
    return False


def _with_interp2d(original: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a function with ``interp2d`` in its place."""
    from scipy import interpolate

    with temporarily(interpolate, interp2d=_interp2d):
        return original(*args, **kwargs)


def fix(module: ModuleType) -> None:
    """Let mmpretrain and mmseg resize BEiT's relative position tables."""
    if not _is_removed():
        return
    if module.__name__.startswith('mmseg'):
        wrap(module.BEiT, '_geometric_sequence_interpolation', _with_interp2d, __name__)
    else:
        wrap(module, 'resize_relative_position_bias_table', _with_interp2d, __name__)
