from .check import check_config
from .require import require_sound_lists

__all__ = ['check_config', 'require_sound_lists']
