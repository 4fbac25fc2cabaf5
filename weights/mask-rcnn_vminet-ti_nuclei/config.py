# The config of the weights beside it, by a path that holds in a clone and in the package.
_base_ = '../../configs/mask_rcnn/mask-rcnn_vminet-ti_fpn_nuclei.py'
