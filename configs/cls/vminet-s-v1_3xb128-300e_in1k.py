_base_ = ['vminet-s_3xb128-300e_in1k.py']
model = dict(backbone=dict(proj_bn=True, mask='none'))
