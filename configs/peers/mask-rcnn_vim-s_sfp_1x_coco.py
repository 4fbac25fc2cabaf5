_base_ = ['mask-rcnn_vim-ti_sfp_1x_coco.py']
model = dict(backbone=dict(arch='s'), neck=dict(in_channels=384))
