"""mmcv's operators without a compiler: a stand-in for `mmcv._ext` on torchvision and plain torch.

`install()` makes `mmcv._ext` importable where mmcv was installed without its compiled extension
(mmcv-lite). A compiled extension that works is always preferred. Importing this package costs
nothing: torch, torchvision and mmcv are touched when `mmcv._ext` is first imported.
"""

from .importer import install, is_compiled

__all__ = ['install', 'is_compiled']
