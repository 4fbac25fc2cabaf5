"""Names which numpy 2 no longer has, given back to the modules that use them.

numpy itself stays as it is: each module sees a view of it with the one name added.
"""

from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from .import_hook import when_imported
from .patching import mark_active

# Module: the names it misses. np.in1d is np.isin for what these modules pass, flat arrays.
_MISSING = {
    'mmpretrain.evaluation.metrics.retrieval': {'in1d': np.isin},
    'mmdet.evaluation.functional.ytviseval': {'float': float},
    'mmcv.ops.pixel_group': {'float': float},
}


class _NumpyView(ModuleType):
    """numpy with some more names."""

    def __init__(self, names: dict[str, Any]) -> None:
        super().__init__('numpy')
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def apply() -> None:
    """Give the removed names back where numpy lacks them."""
    for module_name, names in _MISSING.items():
        lacking = {name: value for name, value in names.items() if name not in np.__dict__}
        if lacking:
            when_imported(module_name, partial(_fix, lacking))


def _fix(names: dict[str, Any], module: ModuleType) -> None:
    if getattr(module, 'np', None) is np:
        module.np = _NumpyView(names)
        mark_active(__name__)
