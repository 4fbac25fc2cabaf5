_base_ = [
    '../_base_/models/upernet_vminet.py',
    '../_base_/datasets/ade20k.py',
    '../_base_/schedules/ade20k_160k_adamw.py',
    '../_base_/mmseg_runtime.py',
]
