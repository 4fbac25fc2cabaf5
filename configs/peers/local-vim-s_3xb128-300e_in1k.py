_base_ = ['local-vim-t_3xb128-300e_in1k.py']
model = dict(backbone=dict(arch='s'), head=dict(in_channels=384))
