# The schedule and the crops of the authors' script: 310 epochs, the last 10 at the lowest rate, the
# cosine counted from epoch 0, and crops resized by one of two interpolations at random.
_base_ = ['vminet-xs_3xb128-300e_in1k.py']
crops = [
    [dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation=interpolation)]
    for interpolation in ('bilinear', 'bicubic')
]
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomChoice', transforms=crops),
    {{_base_.flip}},
    {{_base_.rand_augment}},
    {{_base_.erasing}},
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-6 / 5e-4,
        by_epoch=True,
        begin=0,
        end=5,
        convert_to_iter_based=True,
    ),
    dict(type='CosineAnnealingLR', T_max=300, eta_min=1e-5, by_epoch=True, begin=0, end=300),
]
train_cfg = dict(max_epochs=310)
