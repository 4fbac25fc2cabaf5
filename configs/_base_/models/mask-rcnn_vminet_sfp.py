# Mask R-CNN on a simple feature pyramid, made from VMINet's last map alone (Section 4.3).
_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='VMINet',
        arch='xs',
        drop_path_rate=0.2,
        norm_eval='auto',
    ),
    neck=dict(_delete_=True, type='SimpleFeaturePyramid', in_channels=384),
)
