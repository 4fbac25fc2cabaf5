"""VMINet, a vision backbone with linear-time separable self-attention, for OpenMMLab.

Importing the package makes the installed OpenMMLab stack usable (:mod:`vminet_mm.compat`) and
registers models and hooks in MMEngine's root registries, where mmdet, mmseg and mmpretrain find
them.
"""

from . import compat
from .version import __version__

compat.activate()  # before any mm package is imported by what follows

from .engine.hooks import DeployHook, NormStatisticsHook  # noqa: E402
from .models import SimpleFeaturePyramid, VMINet  # noqa: E402

__all__ = ['DeployHook', 'NormStatisticsHook', 'SimpleFeaturePyramid', 'VMINet', '__version__']


def __getattr__(name: str) -> object:
    """``vminet_mm.load_model``; imported on demand, since training has no use for it."""
    if name == 'load_model':
        from .inference import load_model

        return load_model
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
