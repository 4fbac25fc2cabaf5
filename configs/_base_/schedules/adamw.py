# What all recipes but ImageNet's share: AdamW without decay of norms and of VMI-SA's two scalars.
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', betas=(0.9, 0.999)),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        custom_keys={'.scale': dict(decay_mult=0.0), '.beta': dict(decay_mult=0.0)},
    ),
)
