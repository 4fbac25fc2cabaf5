from .attention import VMISA
from .block import VMISABlock
from .deploy import fold_norm_into_linear, switch_to_deploy
from .padding import set_image_sizes, sized_data_preprocessor
from .simple_fpn import SimpleFeaturePyramid
from .vminet import VMINet

__all__ = [
    'SimpleFeaturePyramid',
    'VMINet',
    'VMISA',
    'VMISABlock',
    'fold_norm_into_linear',
    'set_image_sizes',
    'sized_data_preprocessor',
    'switch_to_deploy',
]
