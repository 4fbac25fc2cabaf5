_base_ = [
    'mmdet::_base_/models/cascade-mask-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    '../_base_/schedules/coco_1x_adamw.py',
    '../_base_/mmdet_runtime.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='VMINet',
        arch='xs',
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.2,
        norm_eval='auto',
    ),
    neck=dict(in_channels=[48, 96, 192, 384]),
)
