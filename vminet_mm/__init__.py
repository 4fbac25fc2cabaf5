"""VMINet, a vision backbone with linear-time separable self-attention, for OpenMMLab.

Importing the package makes the installed OpenMMLab stack usable (:mod:`vminet_mm.compat`) and
registers the models in MMEngine's root registry, where mmdet, mmseg and mmpretrain find them.
"""

from . import compat
from .version import __version__

compat.activate()  # before any mm package is imported by what follows

from .models import SimpleFeaturePyramid, VMINet  # noqa: E402

__all__ = ['SimpleFeaturePyramid', 'VMINet', '__version__']
