# A peer of upernet_vminet-ti_camvid from random weights, too: SegFormer's smallest backbone.
_base_ = 'upernet_vminet-ti_camvid.py'
channels = [32, 64, 160, 256]
model = dict(
    backbone=dict(
        _delete_=True,
        type='MixVisionTransformer',
        embed_dims=32,
        num_layers=[2, 2, 2, 2],
        num_heads=[1, 2, 5, 8],
        drop_path_rate=0.0,
    ),
    decode_head=dict(in_channels=channels),
    auxiliary_head=dict(in_channels=channels[2]),
)
