_base_ = ['../cls/vminet-xs_3xb128-300e_in1k.py']
model = dict(
    backbone=dict(_delete_=True, type='EfficientVMamba', arch='s'),
    head=dict(in_channels=512),
)
