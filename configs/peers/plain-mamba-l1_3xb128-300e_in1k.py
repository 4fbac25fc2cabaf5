_base_ = ['../cls/vminet-xs_3xb128-300e_in1k.py']
model = dict(
    backbone=dict(_delete_=True, type='PlainMamba', arch='l1'),
    head=dict(in_channels=192),
)
