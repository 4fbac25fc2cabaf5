# What the configs for small data share, whether they count epochs or iterations.
_base_ = ['adamw.py']
optim_wrapper = dict(
    optimizer=dict(lr=2e-3, weight_decay=0.05, fused=True),  # a tenth of such a step, else
    clip_grad=dict(max_norm=10.0),
)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
