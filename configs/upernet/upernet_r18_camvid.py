# A peer of upernet_vminet-ti_camvid from random weights, too.
_base_ = 'upernet_vminet-ti_camvid.py'
channels = [64, 128, 256, 512]
model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, norm_cfg=dict(type='GN', num_groups=32)),
    decode_head=dict(in_channels=channels),
    auxiliary_head=dict(in_channels=channels[2]),
)
