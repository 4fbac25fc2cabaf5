"""mmpretrain beside a transformers release its multi-modal models do not know.

With pycocotools and transformers >= 4.28 installed, ``import mmpretrain.models`` builds those
models' classes; where transformers has moved their bases it dies: ``NoneType takes no arguments``.
"""

import sys
from types import ModuleType

from .import_hook import when_imported
from .patching import mark_active


def apply() -> None:
    """Switch the multi-modal models off where they cannot be imported."""
    when_imported('mmpretrain.utils.dependency', _fix)


def _transformers_fits() -> bool:
    try:
        from transformers.modeling_utils import (  # noqa: F401
            PreTrainedModel,
            apply_chunking_to_forward,
        )
    except Exception:  # a release at odds with this torch fails in its own ways
        return False
    return True


def _fix(module: ModuleType) -> None:
    imported = 'mmpretrain.models' in sys.modules  # then they work
    if module.WITH_MULTIMODAL and not imported and not _transformers_fits():
        module.WITH_MULTIMODAL = False
        mark_active(__name__)
