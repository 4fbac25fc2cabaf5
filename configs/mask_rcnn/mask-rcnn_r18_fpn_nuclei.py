# A peer of mask-rcnn_vminet-ti_fpn_nuclei from random weights, too.
_base_ = 'mask-rcnn_vminet-ti_fpn_nuclei.py'
model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, norm_cfg=dict(type='GN', num_groups=32)),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
