# The recipe of VMINet; the authors of VMamba-T have another one.
_base_ = ['../cls/vminet-xs_3xb128-300e_in1k.py']
model = dict(
    backbone=dict(_delete_=True, type='VMamba', arch='t'),
    head=dict(in_channels=768),
)
