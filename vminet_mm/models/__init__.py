from .deploy import fold_norm_into_linear, switch_to_deploy
from .simple_fpn import SimpleFeaturePyramid
from .vmi_sa import VMISABlock
from .vminet import VMINet

__all__ = [
    'SimpleFeaturePyramid',
    'VMINet',
    'VMISABlock',
    'fold_norm_into_linear',
    'switch_to_deploy',
]
