_base_ = ['vim-ti_3xb128-300e_in1k.py']
model = dict(backbone=dict(arch='s'), head=dict(in_channels=384))
