from .implementations import FORMS, IMPLS, choose_op
from .masks import MASKS, make_mask, mask_spans, stage_masks
from .matrix_project import can_project_matrix, project_matrix
from .pointwise import apply_pointwise, pointwise_conv, pointwise_dtype
from .project import add_branch, attend_and_project
from .reference import CONTEXT_RESIZES, context, resize_field, separable_attention

__all__ = [
    'CONTEXT_RESIZES',
    'FORMS',
    'IMPLS',
    'MASKS',
    'add_branch',
    'apply_pointwise',
    'attend_and_project',
    'can_project_matrix',
    'choose_op',
    'context',
    'make_mask',
    'mask_spans',
    'pointwise_conv',
    'pointwise_dtype',
    'project_matrix',
    'resize_field',
    'separable_attention',
    'stage_masks',
]
