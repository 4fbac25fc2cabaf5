# VMINet-XS-R: the recurrent form (eq. 9; Table 3)
_base_ = ['vminet-xs_3xb128-300e_in1k.py']
model = dict(backbone=dict(form='recurrent'))
