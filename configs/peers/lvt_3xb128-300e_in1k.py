_base_ = ['../cls/vminet-xs_3xb128-300e_in1k.py']
model = dict(
    backbone=dict(_delete_=True, type='LVT'),
    neck=None,  # the head has attention to the tokens
    head=dict(type='LVTClsHead', in_channels=256, init_cfg=None),
)
