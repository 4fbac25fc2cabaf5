"""Folding a trained model for inference: fewer operations, the same result up to rounding."""

import sys

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .vminet import VMINet


def switch_to_deploy(model: nn.Module) -> int:
    """Fold every VMINet of a model in place; returns how many. See :meth:`VMINet.switch_to_deploy`.

    The last norm of an mmpretrain classifier goes into its linear head. Load checkpoints before:
    the state dict becomes another one, and there is no way back.
    """
    backbones = [module for module in model.modules() if isinstance(module, VMINet)]
    for backbone in backbones:
        backbone.switch_to_deploy()
    for module in model.modules():
        if _is_linear_classifier(module):
            fold_norm_into_linear(module.backbone, module.head.fc)
    return len(backbones)


def _is_linear_classifier(module: nn.Module) -> bool:
    """Whether a module is mmpretrain's, with a VMINet, an average pooling and a linear head."""
    library = sys.modules.get('mmpretrain.models')  # not imported, it has made no model
    return (
        library is not None
        and isinstance(module, library.ImageClassifier)
        and isinstance(module.backbone, VMINet)
        and isinstance(getattr(module.backbone, 'norm', None), _BatchNorm)
        and type(module.neck) is library.GlobalAveragePooling
        and type(module.head) is library.LinearClsHead
    )


@torch.no_grad()
def fold_norm_into_linear(backbone: VMINet, linear: nn.Linear) -> None:
    """Fold the norm of the last output into the linear layer behind an average pooling.

    ``linear(mean(norm(x))) = linear'(mean(x))``, since a batch norm in evaluation mode is linear.

    Raises:
        ValueError: If the norm is no batch norm.
    """
    norm = backbone.norm
    if not isinstance(norm, _BatchNorm):
        raise ValueError(f'only a batch norm can be folded, not {type(norm).__name__}')
    gain = norm.weight * (norm.running_var + norm.eps).rsqrt()
    linear.bias.add_(linear.weight @ (norm.bias - norm.running_mean * gain))
    linear.weight.mul_(gain)
    backbone.norm = nn.Identity()
