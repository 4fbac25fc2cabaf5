"""mmdet 3.3's SSD cannot predict: shared code asks each head for ``loss_cls``, which SSD lacks."""

from types import ModuleType
from typing import Any

from ..patching import wrap


def fix(module: ModuleType) -> None:
    """Give ``SSDHead`` the attribute, empty."""

    def init(original: Any, self: Any, *args: Any, **kwargs: Any) -> None:
        """Build the head, then add the attribute."""
        original(self, *args, **kwargs)
        if not hasattr(self, 'loss_cls'):
            self.loss_cls = None

    wrap(module.SSDHead, '__init__', init, __name__)
