"""mmcv's compiled operators on torchvision and plain torch; see :mod:`.mmcv_ext`."""

from types import ModuleType

from . import mmcv_ext
from .import_hook import when_imported
from .patching import mark_active


def apply() -> None:
    """Stand in for ``mmcv._ext`` where mmcv is installed without it."""
    mmcv_ext.install()
    when_imported('mmcv.ops', _note)


def _note(module: ModuleType) -> None:
    if not mmcv_ext.is_compiled():
        mark_active(__name__)
