# A small Vim on the built-in crops, made half as large: 16 tokens, 96 channels, 4 layers.
_base_ = 'vminet-ti_mini.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='Vim',
        arch=dict(embed_dims=96, num_layers=4),
        img_size=32,
        patch_size=8,
        out_type='cls_token',
    ),
    neck=None,
    head=dict(in_channels=96),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResizedCrop', scale=32, crop_ratio_range=(0.7, 1.0), aspect_ratio_range=(1, 1)
    ),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='RandomFlip', prob=0.5, direction='vertical'),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=32),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=32, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=40)
