# RandAugment m1 std 0.5 increasing, no color jitter; bicubic 256 then center crop 224 at test.
_base_ = ['mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py']
flip = dict(type='RandomFlip', prob=0.5, direction='horizontal')
rand_augment = dict(
    type='RandAugment',
    policies='timm_increasing',
    num_policies=2,
    total_level=10,
    magnitude_level=1,
    magnitude_std=0.5,
    hparams=dict(pad_val=[104, 116, 124], interpolation='bicubic'),
)
erasing = dict(
    type='RandomErasing',
    erase_prob=0.25,
    mode='rand',
    min_area_ratio=0.02,
    max_area_ratio=1 / 3,
    fill_color=[103.53, 116.28, 123.675],
    fill_std=[57.375, 57.12, 58.395],
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
    flip,
    rand_augment,
    erasing,
    dict(type='PackInputs'),
]
loader = dict(
    batch_size=128,
    pin_memory=True,
    persistent_workers=True,
    collate_fn=dict(type='default_collate'),
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline), **loader)
val_dataloader = loader
test_dataloader = loader
