_base_ = ['mmseg::_base_/default_runtime.py']
custom_imports = dict(imports=['vminet_mm'], allow_failed_imports=False)
# every batch norm is synchronized where several GPUs train together, and plain elsewhere
sync_bn = 'torch'
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=16000, max_keep_ckpts=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)
custom_hooks = [dict(type='NormStatisticsHook')]
