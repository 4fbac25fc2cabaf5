"""mmdet 3.3's SSD cannot predict: shared code asks each head for ``loss_cls``, which SSD lacks."""

from types import ModuleType
from typing import Any

from .import_hook import when_imported
from .patching import wrap


def apply() -> None:
    """Give ``SSDHead`` the attribute, empty."""
    when_imported('mmdet.models.dense_heads.ssd_head', _fix)


def _fix(module: ModuleType) -> None:
    def init(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if not hasattr(self, 'loss_cls'):
            self.loss_cls = None

    wrap(module.SSDHead, '__init__', init, __name__)
