# The other reading of "a bandwidth of B/2": B/2 + 1 wide in all, a quarter of B on each side
_base_ = ['vminet-xs_mask-band_3xb128-300e_in1k.py']
model = dict(backbone=dict(band_halfwidth=0.25))
