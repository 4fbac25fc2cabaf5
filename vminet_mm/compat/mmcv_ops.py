"""mmcv's compiled operators on torchvision and plain torch; see :mod:`.mmcv_ext`."""

from types import ModuleType

from . import mmcv_ext
from .patching import mark_active


def fix(module: ModuleType) -> None:
    """Stand in for ``mmcv._ext``, which ``mmcv.ops`` imports, where mmcv is installed without."""
    mmcv_ext.install()
    if module.__name__ == 'mmcv.ops' and not mmcv_ext.is_compiled():
        mark_active(__name__)
