"""Parameter groups: decay rules that add up, and layer-wise decay of the learning rate."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn
from torch.optim import Optimizer


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """MMEngine's constructor with rules that add up, for mmdet, mmseg and mmpretrain alike.

    - ``custom_keys``: of each setting the longest key that has it counts, and a key without
      ``decay_mult`` leaves the decay to the rules of norms, biases and other keys. With MMEngine's
      own constructor ``custom_keys={'backbone': dict(lr_mult=0.1)}`` makes norms decay again.
    - ``layer_decay_rate``: the learning rate of layer i of n is multiplied by
      ``layer_decay_rate ** (n - 1 - i)``; what stands behind the backbone counts as layer n - 1.
      The backbone must have ``get_layer_depth``, as VMINet and the backbones of mmpretrain have.

    Each group is named by its parameter, ``param_name``.

    Args:
        optim_wrapper_cfg (dict): Config of the optimizer wrapper, with ``optimizer``.
        paramwise_cfg (dict, optional): As in MMEngine's constructor, and ``layer_decay_rate``
            (float), from 0 to 1. Defaults to None.

    Raises:
        ValueError: If ``layer_decay_rate`` is out of range.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        paramwise_cfg = dict(paramwise_cfg or {})
        self.layer_decay_rate = paramwise_cfg.pop('layer_decay_rate', 1.0)
        if not 0 < self.layer_decay_rate <= 1:
            raise ValueError(
                f'layer_decay_rate must be above 0 and at most 1, not {self.layer_decay_rate!r}'
            )
        super().__init__(optim_wrapper_cfg, paramwise_cfg)
        self.custom_keys = paramwise_cfg.pop('custom_keys', {})
        # without custom_keys, so that the base class applies the rules of norms and biases to all;
        # of an empty dict it would make no groups
        self.paramwise_cfg = paramwise_cfg | dict(
            bypass_duplicate=paramwise_cfg.get('bypass_duplicate', False)
        )

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs: Any
    ) -> None:
        """Add a group for each parameter; at the root, apply custom keys and layer decay."""
        super().add_params(params, module, prefix, **kwargs)
        if prefix:
            return
        names = {parameter: name for name, parameter in module.named_parameters()}
        for group in params:
            name = names[group['params'][0]]
            settings = self._custom_settings(name)
            if 'lr_mult' in settings:
                group['lr'] = self.base_lr * settings['lr_mult']
            if 'decay_mult' in settings and self.base_wd is not None:
                group['weight_decay'] = self.base_wd * settings['decay_mult']
            if self.layer_decay_rate < 1:
                group['lr'] = group.get('lr', self.base_lr) * self._layer_factor(module, name)
            group.update(settings, param_name=name)

    def _custom_settings(self, name: str) -> dict[str, Any]:
        """The settings of a parameter; of each, that of the longest key within its name."""
        found: dict[str, Any] = {}
        for key in sorted(self.custom_keys, key=lambda key: (len(key), key)):
            if key in f'.{name}':
                found.update(self.custom_keys[key])
        return found

    def _layer_factor(self, model: nn.Module, name: str) -> float:
        backbone = getattr(model, 'backbone', None)
        if not hasattr(backbone, 'get_layer_depth'):
            kind = type(backbone if backbone is not None else model).__name__
            raise ValueError(
                f'layer_decay_rate needs a backbone with get_layer_depth, which {kind} has not; '
                'leave layer_decay_rate out, or use VMINet or a backbone of mmpretrain that has it'
            )
        depth, number = backbone.get_layer_depth(name, 'backbone.')
        return self.layer_decay_rate ** (number - 1 - depth)


def prepare_for_compiler(optim_wrapper: OptimWrapper) -> None:
    """Have ``compile=True`` compile the forward pass, and leave the optimizer's step as it is.

    MMEngine's registry makes the groups ``ConfigDict``, which cannot be traced, and with a group
    for each parameter the step alone would be compiled for minutes.
    """
    optimizer = optim_wrapper.optimizer
    optimizer.param_groups[:] = [dict(group) for group in optimizer.param_groups]
    optim_wrapper.update_params = torch.compiler.disable(optim_wrapper.update_params)


def group_table(model: nn.Module, optimizer: Optimizer) -> Iterator[str]:
    """Lines of a table: parameters by learning rate and weight decay, largest rate first."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    found: dict[tuple[float, float], list[str]] = defaultdict(list)
    counts: dict[tuple[float, float], int] = defaultdict(int)
    for group in optimizer.param_groups:
        key = (group['lr'], group.get('weight_decay', 0.0))
        for parameter in group['params']:
            found[key].append(names[parameter])
            counts[key] += parameter.numel()
    yield f'{"lr":>10} {"decay":>8} {"tensors":>8} {"params":>11}  such as'
    for lr, decay in sorted(found, reverse=True):
        tensors = found[lr, decay]
        examples = ', '.join(dict.fromkeys((tensors[0], tensors[-1])))
        count = counts[lr, decay]
        yield f'{lr:>10.4g} {decay:>8.4g} {len(tensors):>8} {count:>11,}  {examples}'
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    if frozen:
        yield f'{"frozen":>10} {"":>8} {len(frozen):>8}'
