"""mmpretrain beside a transformers release its multi-modal models do not know.

With pycocotools and transformers >= 4.28 installed, ``import mmpretrain.models`` builds those
models' classes; where transformers has moved their bases it fails: ``NoneType takes no arguments``.
"""

import sys
from types import ModuleType

from ..patching import mark_active


def _transformers_fits() -> bool:
    try:
        from transformers.modeling_utils import (  # noqa: F401
            PreTrainedModel,
            apply_chunking_to_forward,
        )
    except Exception:  # a release at odds with this torch fails in its own ways
        return False
    return True


def fix(module: ModuleType) -> None:
    """Switch the multi-modal models off where they cannot be imported."""

    imported = 'mmpretrain.models' in sys.modules  # then they work
    if module.WITH_MULTIMODAL and not imported and not _transformers_fits():
        module.WITH_MULTIMODAL = False
        mark_active(__name__)
