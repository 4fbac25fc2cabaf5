"""Small versions of the backbones of other papers, and one with weights of its own."""

import torch
from torch import nn

from vminet_mm import peers

ARCHS = {
    'EfficientVMamba': dict(base_channels=16, depths=(1, 1, 2, 1)),
    'LVT': dict(
        channels=(8, 8, 16, 16),
        depths=(1, 1, 1, 2),
        num_heads=(2, 2, 4, 2),
        mlp_ratios=(2, 2, 2, 2),
        reductions=(8, 4, 2, 1),
    ),
    'VMamba': dict(base_channels=16, depths=(1, 2, 1, 1), state_size=2, scan_ratio=1.5),
}


def tiny(name: str, **options: object) -> nn.Module:
    """A small backbone in which every parameter has values of its own."""
    torch.manual_seed(0)
    model = getattr(peers, name)(**dict(arch=ARCHS[name]) | options)
    shake(model)
    return model


def shake(model: nn.Module) -> None:
    """Move norms and biases from where they start, so that forgetting one is noticed."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)


def number_kept(module: nn.Module, *inputs: object) -> int:
    """How many tensors a module keeps for its backward pass."""
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x) or x, lambda x: x):
        module(*inputs)
    return len(saved)
