# The demo: VMINet-Ti from random weights on the built-in scenes, minutes on two CPU cores. A map of
# stride 32 has 4 x 5 cells here, from which a simple feature pyramid learns too slowly for that.
_base_ = [
    '../_base_/models/mask-rcnn_vminet_fpn.py',
    '../_base_/datasets/mini_coco.py',
    '../_base_/schedules/small_epochs.py',
    '../_base_/mmdet_runtime.py',
]
width = 64
roi_extractor = dict(out_channels=width, finest_scale=28, roi_layer=dict(sampling_ratio=2))
model = dict(
    data_preprocessor=dict(pad_size_divisor=1),
    backbone=dict(arch='ti', img_size=64, drop_path_rate=0.0),
    neck=dict(in_channels=[24, 48, 96, 192], out_channels=width, num_outs=4),
    rpn_head=dict(
        in_channels=width,
        feat_channels=width,
        anchor_generator=dict(scales=[4], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=roi_extractor,
        bbox_head=dict(in_channels=width, fc_out_channels=256, num_classes=5),
        mask_roi_extractor=roi_extractor,
        mask_head=dict(num_convs=2, in_channels=width, conv_out_channels=width, num_classes=5),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=100, max_per_img=60),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=100, max_per_img=60), rcnn=dict(max_per_img=20)),
)
train_cfg = dict(max_epochs=3)
default_hooks = dict(logger=dict(interval=10), visualization=dict(score_thr=0.5))
visualizer = dict(line_width=1)  # the pictures are small
auto_scale_lr = dict(enable=False, base_batch_size=8)
randomness = dict(seed=0)
