# UPerNet with VMINet-Ti on the built-in scenes, minutes on two CPU cores.
_base_ = [
    '../_base_/models/upernet_vminet.py',
    '../_base_/datasets/mini_ade20k.py',
    '../_base_/schedules/small_iters.py',
    '../_base_/mmseg_runtime.py',
]
channels = [24, 48, 96, 192]
class_weight = [0.3, 1.0, 1.0, 1.0, 1.0, 1.0]  # 84 % of the pixels are background
model = dict(
    data_preprocessor=dict(size=(80, 80)),
    backbone=dict(arch='ti', img_size=64, drop_path_rate=0.0, channels_last=True),
    decode_head=dict(
        in_channels=channels,
        channels=64,
        num_classes=6,
        loss_decode=dict(class_weight=class_weight),
    ),
    auxiliary_head=dict(
        in_channels=channels[2],
        channels=32,
        num_classes=6,
        loss_decode=dict(class_weight=class_weight),
    ),
)
optim_wrapper = dict(optimizer=dict(lr=4e-3))
train_cfg = dict(max_iters=1600)
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(interval=1600), visualization=dict(interval=1)
)
auto_scale_lr = dict(enable=False, base_batch_size=16)
randomness = dict(seed=0)
