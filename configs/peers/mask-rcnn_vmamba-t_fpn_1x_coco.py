_base_ = ['../mask_rcnn/mask-rcnn_vminet-xs_fpn_1x_coco.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='VMamba',
        arch='t',
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.2,
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
