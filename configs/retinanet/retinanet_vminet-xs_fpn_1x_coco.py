# RetinaNet's pyramid starts at stride 8: the first map would be left unread.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    '../_base_/schedules/coco_1x_adamw.py',
    '../_base_/mmdet_runtime.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='VMINet',
        arch='xs',
        out_indices=(1, 2, 3),
        drop_path_rate=0.2,
        norm_eval='auto',
    ),
    neck=dict(in_channels=[96, 192, 384], start_level=0),
)
