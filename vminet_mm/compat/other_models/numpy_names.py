"""Names which numpy 2 no longer has, given back to the modules that use them.

numpy itself stays as it is: each module sees a view of it with the one name added.
"""

from types import ModuleType
from typing import Any

import numpy as np

from ..patching import mark_active


class _NumpyView(ModuleType):
    """numpy with some more names."""

    def __init__(self, names: dict[str, Any]) -> None:
        super().__init__('numpy')
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def fix(module: ModuleType) -> None:
    """Give the removed names back where numpy lacks them."""
    removed = {'in1d': np.isin, 'float': float}  # np.isin for flat arrays, which they are here
    names = {name: value for name, value in removed.items() if name not in np.__dict__}
    if names and getattr(module, 'np', None) is np:
        module.np = _NumpyView(names)
        mark_active(__name__)
