from .check import check_config
from .coco_fix import fix_annotations
from .require import require_sound_lists

__all__ = ['check_config', 'fix_annotations', 'require_sound_lists']
