# BEiT's pyramid of four maps of stride 16, as in the authors' segmentors.
_base_ = ['../upernet/upernet_vminet-xs_8xb2-160k_ade20k-512x512.py']
model = dict(
    backbone=dict(
        _delete_=True,
        type='Vim',
        arch='ti',
        img_size=512,
        out_indices=(5, 11, 17, 23),
        drop_path_rate=0.3,
    ),
    neck=dict(
        type='Feature2Pyramid',
        embed_dim=192,
        rescales=[4, 2, 1, 0.5],
        norm_cfg=dict(type='BN'),
    ),
    decode_head=dict(in_channels=[192, 192, 192, 192]),
    auxiliary_head=dict(in_channels=192),
)
