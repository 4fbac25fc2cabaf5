# VMINet-Ti on the built-in crops, minutes on two CPU cores.
_base_ = [
    '../_base_/models/vminet_cls.py',
    '../_base_/datasets/mini_imagenet.py',
    '../_base_/schedules/small_epochs.py',
    '../_base_/mmpretrain_runtime.py',
]
model = dict(
    backbone=dict(arch='ti', img_size=64),
    head=dict(num_classes=5, in_channels=192),
    train_cfg=None,
)
train_cfg = dict(max_epochs=15)
default_hooks = dict(logger=dict(interval=10))
auto_scale_lr = dict(enable=False, base_batch_size=32)
randomness = dict(seed=0)
