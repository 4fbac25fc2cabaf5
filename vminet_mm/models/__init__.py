from .simple_fpn import SimpleFeaturePyramid
from .vmi_sa import VMISABlock
from .vminet import VMINet

__all__ = ['SimpleFeaturePyramid', 'VMINet', 'VMISABlock']
