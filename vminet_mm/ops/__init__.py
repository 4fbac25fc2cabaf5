from .implementations import FORMS, IMPLS, choose_op
from .masks import MASKS, make_mask, mask_spans, stage_masks
from .project import attend_and_project
from .reference import CONTEXT_RESIZES, context, resize_field, separable_attention

__all__ = [
    'CONTEXT_RESIZES',
    'FORMS',
    'IMPLS',
    'MASKS',
    'attend_and_project',
    'choose_op',
    'context',
    'make_mask',
    'mask_spans',
    'resize_field',
    'separable_attention',
    'stage_masks',
]
