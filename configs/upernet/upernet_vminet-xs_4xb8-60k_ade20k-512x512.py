# "Following Vim" read as the config of Vim's authors: 60k iterations of 32, the rate lower in lower
# layers, a head as wide as the last map, and tests with a window that slides.
_base_ = ['upernet_vminet-xs_8xb2-160k_ade20k-512x512.py']
max_iters, interval = 60000, 6000
model = dict(
    backbone=dict(drop_path_rate=0.1),
    decode_head=dict(channels=384),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
train_dataloader = dict(batch_size=8)
optim_wrapper = dict(
    optimizer=dict(lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(layer_decay_rate=0.92, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=1500, end=max_iters),
]
train_cfg = dict(max_iters=max_iters, val_interval=interval)
default_hooks = dict(checkpoint=dict(interval=interval))
auto_scale_lr = dict(base_batch_size=32)
