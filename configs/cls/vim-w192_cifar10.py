# A peer of vminet-ti_cifar10: Vim as wide as Vim-Ti, of 5 layers, on 64 patches of 4 x 4 pixels.
_base_ = 'vminet-ti_cifar10.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='Vim',
        arch=dict(embed_dims=192, num_layers=5),
        img_size=32,
        patch_size=4,
        out_type='cls_token',
    ),
    neck=None,
)
