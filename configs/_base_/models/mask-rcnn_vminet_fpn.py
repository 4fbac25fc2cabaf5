# Mask R-CNN on a plain FPN of VMINet's four maps: its parameter counts are those of Table 5.
_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py']
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
