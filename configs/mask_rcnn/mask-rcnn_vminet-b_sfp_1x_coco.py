_base_ = ['mask-rcnn_vminet-xs_sfp_1x_coco.py']
model = dict(backbone=dict(arch='b'), neck=dict(in_channels=768))
