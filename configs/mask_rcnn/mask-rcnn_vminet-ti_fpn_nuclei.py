# VMINet-Ti from random weights on nuclei: its weights are shipped, see weights/README.md.
_base_ = [
    '../_base_/models/mask-rcnn_vminet_fpn.py',
    '../_base_/datasets/nuclei.py',
    '../_base_/schedules/small_epochs.py',
    '../_base_/mmdet_runtime.py',
]
width = 64
roi_extractor = dict(out_channels=width, finest_scale=28, roi_layer=dict(sampling_ratio=2))
model = dict(
    backbone=dict(
        arch='ti',
        img_size=192,
        drop_path_rate=0.0,
        norm_cfg=dict(type='GN', num_groups=8),  # four unlike pictures make no statistics
    ),
    neck=dict(in_channels=[24, 48, 96, 192], out_channels=width, num_outs=4),
    rpn_head=dict(
        in_channels=width,
        feat_channels=width,
        anchor_generator=dict(scales=[2, 3], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=roi_extractor,
        bbox_head=dict(in_channels=width, fc_out_channels=192, num_classes=1),
        mask_roi_extractor=roi_extractor,
        mask_head=dict(num_convs=2, in_channels=width, conv_out_channels=width, num_classes=1),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=1000, max_per_img=600), rcnn=dict(max_per_img=400)),
)
train_cfg = dict(max_epochs=12)
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(max_keep_ckpts=1), visualization=dict(score_thr=0.5)
)
visualizer = dict(line_width=1)
auto_scale_lr = dict(enable=False, base_batch_size=4)
randomness = dict(seed=0)
