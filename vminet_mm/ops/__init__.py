from .masks import MASKS, make_mask, stage_masks
from .reference import CONTEXT_RESIZES, context, resize_field, separable_attention

__all__ = [
    'CONTEXT_RESIZES',
    'MASKS',
    'context',
    'make_mask',
    'resize_field',
    'separable_attention',
    'stage_masks',
]
