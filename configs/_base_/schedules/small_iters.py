# A warm-up, and a linear decay to train_cfg.max_iters, which a config sets; validated at the end.
_base_ = ['small_adamw.py']
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    # from the start, since a run may be shorter than the warm-up
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False),
]
train_cfg = dict(type='IterBasedTrainLoop', val_interval=1000000)
