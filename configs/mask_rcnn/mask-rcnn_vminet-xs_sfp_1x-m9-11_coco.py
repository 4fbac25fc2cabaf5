# The rate falls after epochs 9 and 11: the other reading of the paper's "9th and 11th epochs"
_base_ = ['mask-rcnn_vminet-xs_sfp_1x_coco.py']
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[9, 11], gamma=0.1),
]
