_base_ = ['mmdet::_base_/default_runtime.py']
custom_imports = dict(imports=['vminet_mm'], allow_failed_imports=False)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=3))
custom_hooks = [dict(type='NormStatisticsHook')]
