# ViTDet's pyramid of the last map, of stride 16, as in the authors' detectors.
_base_ = ['../mask_rcnn/mask-rcnn_vminet-xs_sfp_1x_coco.py']
model = dict(
    backbone=dict(_delete_=True, type='Vim', arch='ti', add=True, drop_path_rate=0.2),
    neck=dict(in_channels=192, scale_factors=(4, 2, 1, 0.5)),
)
