_base_ = ['../mask_rcnn/mask-rcnn_vminet-xs_fpn_1x_coco.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='EfficientVMamba',
        arch='s',
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.2,
        norm_eval='auto',
    ),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
