# VMINet-Ti on the built-in crops, minutes on two CPU cores.
_base_ = [
    '../_base_/models/vminet_cls.py',
    '../_base_/datasets/mini_imagenet.py',
    '../_base_/schedules/mini_adamw.py',
    '../_base_/mmpretrain_runtime.py',
]
model = dict(
    backbone=dict(arch='ti', img_size=64),
    head=dict(num_classes=5, in_channels=192),
    train_cfg=None,
)
optim_wrapper = dict(optimizer=dict(lr=2e-3))
max_epochs = 15
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', T_max=max_epochs, by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict()
test_cfg = dict()
default_hooks = dict(logger=dict(interval=10))
auto_scale_lr = dict(enable=False, base_batch_size=32)
randomness = dict(seed=0)
