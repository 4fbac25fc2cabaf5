# What the three mini configs share.
_base_ = ['adamw.py']
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=0.05, fused=True),  # a tenth of such a step, else
    clip_grad=dict(max_norm=10.0),
)
