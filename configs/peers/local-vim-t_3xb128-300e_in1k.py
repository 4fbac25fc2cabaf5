_base_ = ['../cls/vminet-xs_3xb128-300e_in1k.py']
model = dict(
    backbone=dict(_delete_=True, type='LocalVim', arch='t', out_type='avg_featmap'),
    neck=None,
    head=dict(in_channels=192),
)
