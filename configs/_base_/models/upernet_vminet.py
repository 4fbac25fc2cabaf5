# UPerNet on VMINet's four maps, heads as in Swin's recipe.
_base_ = ['mmseg::_base_/models/upernet_swin.py']
norm_cfg = dict(_delete_=True, type='BN')  # see sync_bn in mmseg_runtime.py
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(
        _delete_=True,
        type='VMINet',
        arch='xs',
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.3,
    ),
    decode_head=dict(in_channels=[48, 96, 192, 384], num_classes=150, norm_cfg=norm_cfg),
    auxiliary_head=dict(in_channels=192, num_classes=150, norm_cfg=norm_cfg),
)
