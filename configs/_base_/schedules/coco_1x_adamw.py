# Swin's 1x recipe for Mask R-CNN: AdamW, 12 epochs, batch 16 (8 GPUs x 2).
_base_ = ['adamw.py']
optim_wrapper = dict(optimizer=dict(lr=1e-4, weight_decay=0.05))
# The paper lowers the rate "at the 9th and 11th epochs"; Swin's milestones, of which VMamba's
# paper says the same, are these.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=12, milestones=[8, 11], gamma=0.1),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=12, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
auto_scale_lr = dict(enable=False, base_batch_size=16)
