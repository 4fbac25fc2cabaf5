_base_ = ['plain-mamba-l1_3xb128-300e_in1k.py']
model = dict(backbone=dict(arch='l2'), head=dict(in_channels=384))
