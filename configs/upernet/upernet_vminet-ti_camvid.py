# UPerNet with VMINet-Ti from random weights on CamVid, within 40 minutes on one CPU core.
_base_ = [
    '../_base_/models/upernet_vminet.py',
    '../_base_/datasets/camvid.py',
    '../_base_/schedules/small_iters.py',
    '../_base_/mmseg_runtime.py',
]
channels = [24, 48, 96, 192]
# square root of the median frequency over the class's own: of bicyclists there are 0.3 % of pixels
class_weight = [0.5, 0.4, 2.2, 0.4, 1.0, 0.7, 2.0, 2.0, 0.9, 2.7, 3.9]
model = dict(
    data_preprocessor=dict(size=(256, 256)),
    backbone=dict(
        arch='ti',
        img_size=256,
        drop_path_rate=0.0,
        channels_last=True,
        norm_cfg=dict(type='GN', num_groups=8),  # four crops make poor statistics
    ),
    decode_head=dict(
        in_channels=channels,
        channels=64,
        num_classes=11,
        loss_decode=dict(class_weight=class_weight),
    ),
    auxiliary_head=dict(
        in_channels=channels[2],
        channels=32,
        num_classes=11,
        loss_decode=dict(class_weight=class_weight),
    ),
)
train_cfg = dict(max_iters=3000)
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=300, max_keep_ckpts=1))
auto_scale_lr = dict(enable=False, base_batch_size=4)
randomness = dict(seed=0)
