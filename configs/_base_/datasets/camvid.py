# Road scenes of CamVid, 480 x 360 and 11 classes, in the ADE20K layout that
# tools/dataset_converters/convert.py writes. Crops for training, whole pictures at test.
crop_size = (256, 256)
dataset = dict(
    type='ADE20KLayoutDataset',
    data_root='data/camvid',
    metainfo=dict(
        classes=(
            *('sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign', 'fence', 'car'),
            *('pedestrian', 'bicyclist'),
        ),
        palette=[
            [70, 130, 180],
            [70, 70, 70],
            [153, 153, 153],
            [128, 64, 128],
            [244, 35, 232],
            [107, 142, 35],
            [220, 220, 0],
            [190, 153, 153],
            [0, 0, 142],
            [220, 20, 60],
            [119, 11, 32],
        ],
    ),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='RandomResize', scale=(480, 360), ratio_range=(0.75, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,  # every core trains
    persistent_workers=False,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline,
        **dataset,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=test_pipeline,
        **dataset,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
