_base_ = ['upernet_vim-ti_4xb8-60k_ade20k-512x512.py']
model = dict(
    backbone=dict(arch='s', add=True),
    neck=dict(embed_dim=384),
    decode_head=dict(in_channels=[384, 384, 384, 384], channels=384),
    auxiliary_head=dict(in_channels=384),
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05), paramwise_cfg=dict(layer_decay_rate=0.95)
)
