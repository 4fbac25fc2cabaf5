_base_ = [
    '../_base_/models/mask-rcnn_vminet_sfp.py',
    'mmdet::_base_/datasets/coco_instance.py',
    '../_base_/schedules/coco_1x_adamw.py',
    '../_base_/mmdet_runtime.py',
]
