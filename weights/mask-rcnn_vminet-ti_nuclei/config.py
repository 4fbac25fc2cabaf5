auto_scale_lr = dict(base_batch_size=4, enable=False)
backend_args = None
crop_size = 192
custom_hooks = [
    dict(type='NormStatisticsHook'),
]
custom_imports = dict(
    allow_failed_imports=False,
    imports=[
        'vminet_mm',
    ],
)
data_root = 'data/nuclei/'
dataset_type = 'CocoDataset'
default_hooks = dict(
    checkpoint=dict(_scope_='mmdet', interval=1, max_keep_ckpts=1, type='CheckpointHook'),
    logger=dict(_scope_='mmdet', interval=10, type='LoggerHook'),
    param_scheduler=dict(_scope_='mmdet', type='ParamSchedulerHook'),
    sampler_seed=dict(_scope_='mmdet', type='DistSamplerSeedHook'),
    timer=dict(_scope_='mmdet', type='IterTimerHook'),
    visualization=dict(_scope_='mmdet', score_thr=0.5, type='DetVisualizationHook'),
)
default_scope = 'mmdet'
env_cfg = dict(
    cudnn_benchmark=False,
    dist_cfg=dict(backend='nccl'),
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
)
load_from = None
log_level = 'INFO'
log_processor = dict(_scope_='mmdet', by_epoch=True, type='LogProcessor', window_size=50)
max_epochs = 12
metainfo = dict(
    classes=('nucleus',),
    palette=[
        (
            220,
            60,
            60,
        ),
    ],
)
model = dict(
    _scope_='mmdet',
    backbone=dict(
        arch='ti',
        drop_path_rate=0.0,
        img_size=192,
        norm_eval='auto',
        out_indices=(
            0,
            1,
            2,
            3,
        ),
        type='VMINet',
    ),
    data_preprocessor=dict(
        bgr_to_rgb=True,
        mean=[
            123.675,
            116.28,
            103.53,
        ],
        pad_mask=True,
        pad_size_divisor=32,
        std=[
            58.395,
            57.12,
            57.375,
        ],
        type='DetDataPreprocessor',
    ),
    neck=dict(
        in_channels=[
            24,
            48,
            96,
            192,
        ],
        num_outs=4,
        out_channels=64,
        type='FPN',
    ),
    roi_head=dict(
        bbox_head=dict(
            bbox_coder=dict(
                target_means=[
                    0.0,
                    0.0,
                    0.0,
                    0.0,
                ],
                target_stds=[
                    0.1,
                    0.1,
                    0.2,
                    0.2,
                ],
                type='DeltaXYWHBBoxCoder',
            ),
            fc_out_channels=192,
            in_channels=64,
            loss_bbox=dict(loss_weight=1.0, type='L1Loss'),
            loss_cls=dict(loss_weight=1.0, type='CrossEntropyLoss', use_sigmoid=False),
            num_classes=1,
            reg_class_agnostic=False,
            roi_feat_size=7,
            type='Shared2FCBBoxHead',
        ),
        bbox_roi_extractor=dict(
            featmap_strides=[
                4,
                8,
                16,
                32,
            ],
            finest_scale=28,
            out_channels=64,
            roi_layer=dict(output_size=7, sampling_ratio=2, type='RoIAlign'),
            type='SingleRoIExtractor',
        ),
        mask_head=dict(
            conv_out_channels=64,
            in_channels=64,
            loss_mask=dict(loss_weight=1.0, type='CrossEntropyLoss', use_mask=True),
            num_classes=1,
            num_convs=2,
            type='FCNMaskHead',
        ),
        mask_roi_extractor=dict(
            featmap_strides=[
                4,
                8,
                16,
                32,
            ],
            finest_scale=28,
            out_channels=64,
            roi_layer=dict(output_size=14, sampling_ratio=2, type='RoIAlign'),
            type='SingleRoIExtractor',
        ),
        type='StandardRoIHead',
    ),
    rpn_head=dict(
        anchor_generator=dict(
            ratios=[
                0.5,
                1.0,
                2.0,
            ],
            scales=[
                2,
                3,
            ],
            strides=[
                4,
                8,
                16,
                32,
            ],
            type='AnchorGenerator',
        ),
        bbox_coder=dict(
            target_means=[
                0.0,
                0.0,
                0.0,
                0.0,
            ],
            target_stds=[
                1.0,
                1.0,
                1.0,
                1.0,
            ],
            type='DeltaXYWHBBoxCoder',
        ),
        feat_channels=64,
        in_channels=64,
        loss_bbox=dict(loss_weight=1.0, type='L1Loss'),
        loss_cls=dict(loss_weight=1.0, type='CrossEntropyLoss', use_sigmoid=True),
        type='RPNHead',
    ),
    test_cfg=dict(
        rcnn=dict(
            mask_thr_binary=0.5,
            max_per_img=400,
            nms=dict(iou_threshold=0.5, type='nms'),
            score_thr=0.05,
        ),
        rpn=dict(
            max_per_img=600, min_bbox_size=0, nms=dict(iou_threshold=0.7, type='nms'), nms_pre=1000
        ),
    ),
    train_cfg=dict(
        rcnn=dict(
            assigner=dict(
                ignore_iof_thr=-1,
                match_low_quality=True,
                min_pos_iou=0.5,
                neg_iou_thr=0.5,
                pos_iou_thr=0.5,
                type='MaxIoUAssigner',
            ),
            debug=False,
            mask_size=28,
            pos_weight=-1,
            sampler=dict(
                add_gt_as_proposals=True,
                neg_pos_ub=-1,
                num=64,
                pos_fraction=0.25,
                type='RandomSampler',
            ),
        ),
        rpn=dict(
            allowed_border=-1,
            assigner=dict(
                ignore_iof_thr=-1,
                match_low_quality=True,
                min_pos_iou=0.3,
                neg_iou_thr=0.3,
                pos_iou_thr=0.7,
                type='MaxIoUAssigner',
            ),
            debug=False,
            pos_weight=-1,
            sampler=dict(
                add_gt_as_proposals=False,
                neg_pos_ub=-1,
                num=128,
                pos_fraction=0.5,
                type='RandomSampler',
            ),
        ),
        rpn_proposal=dict(
            max_per_img=200, min_bbox_size=0, nms=dict(iou_threshold=0.7, type='nms'), nms_pre=500
        ),
    ),
    type='MaskRCNN',
)
optim_wrapper = dict(
    clip_grad=dict(max_norm=10.0),
    optimizer=dict(
        betas=(
            0.9,
            0.999,
        ),
        fused=True,
        lr=0.002,
        type='AdamW',
        weight_decay=0.05,
    ),
    paramwise_cfg=dict(
        custom_keys={'.beta': dict(decay_mult=0.0), '.scale': dict(decay_mult=0.0)},
        norm_decay_mult=0.0,
    ),
    type='OptimWrapper',
)
param_scheduler = [
    dict(begin=0, by_epoch=False, end=100, start_factor=0.01, type='LinearLR'),
    dict(T_max=12, by_epoch=True, convert_to_iter_based=True, type='CosineAnnealingLR'),
]
randomness = dict(seed=0)
resume = False
roi_extractor = dict(finest_scale=28, out_channels=64, roi_layer=dict(sampling_ratio=2))
test_cfg = dict(type='TestLoop')
test_dataloader = dict(
    batch_size=1,
    dataset=dict(
        _scope_='mmdet',
        ann_file='annotations/instances_val2017.json',
        backend_args=None,
        data_prefix=dict(img='val2017/'),
        data_root='data/nuclei/',
        metainfo=dict(
            classes=('nucleus',),
            palette=[
                (
                    220,
                    60,
                    60,
                ),
            ],
        ),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(keep_ratio=True, scale_factor=1.5, type='Resize'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                meta_keys=(
                    'img_id',
                    'img_path',
                    'ori_shape',
                    'img_shape',
                    'scale_factor',
                ),
                type='PackDetInputs',
            ),
        ],
        test_mode=True,
        type='CocoDataset',
    ),
    drop_last=False,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(_scope_='mmdet', shuffle=False, type='DefaultSampler'),
)
test_evaluator = dict(
    _scope_='mmdet',
    ann_file='data/nuclei/annotations/instances_val2017.json',
    backend_args=None,
    format_only=False,
    metric=[
        'bbox',
        'segm',
    ],
    type='CocoMetric',
)
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(keep_ratio=True, scale_factor=1.5, type='Resize'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        meta_keys=(
            'img_id',
            'img_path',
            'ori_shape',
            'img_shape',
            'scale_factor',
        ),
        type='PackDetInputs',
    ),
]
train_cfg = dict(max_epochs=12, type='EpochBasedTrainLoop', val_interval=12)
train_dataloader = dict(
    batch_sampler=dict(_scope_='mmdet', type='AspectRatioBatchSampler'),
    batch_size=4,
    dataset=dict(
        _scope_='mmdet',
        ann_file='annotations/instances_train2017.json',
        backend_args=None,
        data_prefix=dict(img='train2017/'),
        data_root='data/nuclei/',
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        metainfo=dict(
            classes=('nucleus',),
            palette=[
                (
                    220,
                    60,
                    60,
                ),
            ],
        ),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                transforms=[
                    [
                        dict(
                            crop_size=(
                                96,
                                96,
                            ),
                            recompute_bbox=True,
                            type='RandomCrop',
                        ),
                    ],
                    [
                        dict(
                            crop_size=(
                                128,
                                128,
                            ),
                            recompute_bbox=True,
                            type='RandomCrop',
                        ),
                    ],
                    [
                        dict(
                            crop_size=(
                                160,
                                160,
                            ),
                            recompute_bbox=True,
                            type='RandomCrop',
                        ),
                    ],
                    [
                        dict(
                            crop_size=(
                                192,
                                192,
                            ),
                            recompute_bbox=True,
                            type='RandomCrop',
                        ),
                    ],
                ],
                type='RandomChoice',
            ),
            dict(
                keep_ratio=False,
                scale=(
                    192,
                    192,
                ),
                type='Resize',
            ),
            dict(
                direction=[
                    'horizontal',
                    'vertical',
                    'diagonal',
                ],
                prob=0.75,
                type='RandomFlip',
            ),
            dict(type='PhotoMetricDistortion'),
            dict(
                min_gt_bbox_wh=(
                    2,
                    2,
                ),
                type='FilterAnnotations',
            ),
            dict(type='PackDetInputs'),
        ],
        type='CocoDataset',
    ),
    num_workers=0,
    persistent_workers=False,
    sampler=dict(_scope_='mmdet', shuffle=True, type='DefaultSampler'),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        transforms=[
            [
                dict(
                    crop_size=(
                        96,
                        96,
                    ),
                    recompute_bbox=True,
                    type='RandomCrop',
                ),
            ],
            [
                dict(
                    crop_size=(
                        128,
                        128,
                    ),
                    recompute_bbox=True,
                    type='RandomCrop',
                ),
            ],
            [
                dict(
                    crop_size=(
                        160,
                        160,
                    ),
                    recompute_bbox=True,
                    type='RandomCrop',
                ),
            ],
            [
                dict(
                    crop_size=(
                        192,
                        192,
                    ),
                    recompute_bbox=True,
                    type='RandomCrop',
                ),
            ],
        ],
        type='RandomChoice',
    ),
    dict(
        keep_ratio=False,
        scale=(
            192,
            192,
        ),
        type='Resize',
    ),
    dict(
        direction=[
            'horizontal',
            'vertical',
            'diagonal',
        ],
        prob=0.75,
        type='RandomFlip',
    ),
    dict(type='PhotoMetricDistortion'),
    dict(
        min_gt_bbox_wh=(
            2,
            2,
        ),
        type='FilterAnnotations',
    ),
    dict(type='PackDetInputs'),
]
val_cfg = dict(type='ValLoop')
val_dataloader = dict(
    batch_size=1,
    dataset=dict(
        _scope_='mmdet',
        ann_file='annotations/instances_val2017.json',
        backend_args=None,
        data_prefix=dict(img='val2017/'),
        data_root='data/nuclei/',
        metainfo=dict(
            classes=('nucleus',),
            palette=[
                (
                    220,
                    60,
                    60,
                ),
            ],
        ),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(keep_ratio=True, scale_factor=1.5, type='Resize'),
            dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
            dict(
                meta_keys=(
                    'img_id',
                    'img_path',
                    'ori_shape',
                    'img_shape',
                    'scale_factor',
                ),
                type='PackDetInputs',
            ),
        ],
        test_mode=True,
        type='CocoDataset',
    ),
    drop_last=False,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(_scope_='mmdet', shuffle=False, type='DefaultSampler'),
)
val_evaluator = dict(
    _scope_='mmdet',
    ann_file='data/nuclei/annotations/instances_val2017.json',
    backend_args=None,
    format_only=False,
    metric=[
        'bbox',
        'segm',
    ],
    type='CocoMetric',
)
vis_backends = [
    dict(_scope_='mmdet', type='LocalVisBackend'),
]
visualizer = dict(
    _scope_='mmdet',
    line_width=1,
    name='visualizer',
    type='DetLocalVisualizer',
    vis_backends=[
        dict(type='LocalVisBackend'),
    ],
)
width = 64
