# A peer of mask-rcnn_vminet-ti_fpn_nuclei from random weights, too.
_base_ = 'mask-rcnn_vminet-ti_fpn_nuclei.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='PyramidVisionTransformerV2',
        embed_dims=32,
        num_layers=[2, 2, 2, 2],
        drop_path_rate=0.0,
    ),
    neck=dict(in_channels=[32, 64, 160, 256]),
)
