# A peer of vminet-ti_cifar10: ResNet-18 of half the width, whose maps have the same sizes.
_base_ = 'vminet-ti_cifar10.py'
model = dict(
    backbone=dict(_delete_=True, type='ResNet_CIFAR', depth=18, stem_channels=32, base_channels=32),
    head=dict(in_channels=256),
)
