# A warm-up, and a cosine over train_cfg.max_epochs, which a config sets; validated at the end.
_base_ = ['small_adamw.py']
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True),
]
train_cfg = dict(type='EpochBasedTrainLoop', val_interval=1000)
