_base_ = [
    'mmseg::_base_/models/segformer_mit-b0.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/ade20k_160k_adamw.py',
    '../_base_/mmseg_runtime.py',
]
model = dict(
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(
        _delete_=True,
        type='VMINet',
        arch='xs',
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.1,
    ),
    decode_head=dict(
        in_channels=[48, 96, 192, 384],
        num_classes=150,
        norm_cfg=dict(_delete_=True, type='BN'),  # see sync_bn in mmseg_runtime.py
    ),
)
