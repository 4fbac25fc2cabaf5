"""VMINet, a vision backbone with linear-time separable self-attention, for OpenMMLab.

Importing the package makes the installed OpenMMLab stack usable (:mod:`vminet_mm.compat`) and
registers models and hooks in MMEngine's root registries, where mmdet, mmseg and mmpretrain find
them.
"""

import sys

from .version import __version__

# `python -m vminet_mm.doctor` imports this first, and must start where the rest cannot be imported
if sys.argv[:1] != ['-m'] or 'vminet_mm.doctor' not in sys.orig_argv:
    from . import compat

    compat.activate()  # before any mm package is imported by what follows

    from .engine.hooks import DeployHook, NormStatisticsHook
    from .models import SimpleFeaturePyramid, VMINet

__all__ = ['DeployHook', 'NormStatisticsHook', 'SimpleFeaturePyramid', 'VMINet', '__version__']


def __getattr__(name: str) -> object:
    """``vminet_mm.load_model``; imported on demand, since training has no use for it."""
    if name == 'load_model':
        from .inference import load_model

        return load_model
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
