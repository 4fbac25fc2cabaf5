# VMINet-Ti from random weights on CIFAR-10, with maps of 32, 16, 8 and 4 cells an edge.
_base_ = [
    '../_base_/models/vminet_cls.py',
    '../_base_/datasets/cifar10.py',
    '../_base_/schedules/small_epochs.py',
    '../_base_/mmpretrain_runtime.py',
]
model = dict(
    backbone=dict(
        arch='ti',
        img_size=32,
        stem_stride=1,
        strides=(1, 2, 2, 2),
        kernel_size=3,  # with the paper's 7 test pictures were named worse, see docs/real_data.md
        drop_path_rate=0.0,
    ),
    head=dict(num_classes=10, in_channels=192),
    train_cfg=None,
)
train_cfg = dict(max_epochs=50)
default_hooks = dict(logger=dict(interval=10))
auto_scale_lr = dict(enable=False, base_batch_size=64)
randomness = dict(seed=0)
