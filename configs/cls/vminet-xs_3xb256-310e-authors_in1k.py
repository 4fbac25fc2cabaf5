# What the authors' README and script make: batch 768 at 1e-3, 310 epochs, the last 10 at the lowest
# rate, a rate that changes once an epoch, a cosine counted from epoch 0, and an interpolation drawn
# for each crop and for each operation of RandAugment.
_base_ = ['vminet-xs_3xb128-300e_in1k.py']
crops = [
    [dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation=interpolation)]
    for interpolation in ('bilinear', 'bicubic')
]
# one of the two operations of an image; both are drawn from all of them, as two draws of one are
operation = [
    [
        dict(
            type='RandAugment',
            policies='timm_increasing',
            num_policies=1,
            total_level=10,
            magnitude_level=1,
            magnitude_std=0.5,
            hparams=dict(pad_val=[104, 116, 124], interpolation=interpolation),
        )
    ]
    for interpolation in ('bilinear', 'bicubic')
]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomChoice', transforms=crops),
    {{_base_.flip}},
    dict(type='RandomChoice', transforms=operation),
    dict(type='RandomChoice', transforms=operation),
    {{_base_.erasing}},
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=256, drop_last=True, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6 / 1e-3, by_epoch=True, begin=0, end=6),
    dict(type='CosineAnnealingLR', T_max=300, eta_min=1e-5, by_epoch=True, begin=0, end=301),
]
train_cfg = dict(max_epochs=310)
auto_scale_lr = dict(base_batch_size=768)
