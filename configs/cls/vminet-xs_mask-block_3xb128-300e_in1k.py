_base_ = ['vminet-xs_3xb128-300e_in1k.py']
model = dict(backbone=dict(mask='block'))
