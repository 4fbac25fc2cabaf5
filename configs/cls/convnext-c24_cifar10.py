# A peer of vminet-ti_cifar10: ConvNeXt of VMINet-Ti's widths, whose maps have the same sizes.
_base_ = 'vminet-ti_cifar10.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='ConvNeXt',
        arch=dict(depths=[2, 2, 10, 2], channels=[24, 48, 96, 192]),
        stem_patch_size=1,
        gap_before_final_norm=False,
    ),
)
