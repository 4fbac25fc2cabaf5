"""Tiny models and the contents of their checkpoints, for the tests of reading them."""

import torch
from torch import Tensor, nn

from vminet_mm import VMINet
from vminet_mm.analysis.authors_model import AuthorsVMINet, Block

TINY = dict(base_channels=4, expansion=2, depths=(1, 1, 2, 1))
OPTIONS = dict(first=dict(proj_bn=True, mask='none'), second=dict())
State = dict[str, Tensor]


def trained(release: str, arch: dict | str, seed: int = 0, **kwargs) -> AuthorsVMINet:
    """A model in evaluation mode in which every tensor has values of its own.

    They are such that alpha, the mask and the statistics all matter to the logits.
    """
    model = AuthorsVMINet(release, arch, **kwargs)
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.0, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.num_batches_tracked.fill_(1000 + seed)
        elif isinstance(module, (nn.Conv2d, nn.Linear)):
            fan_in = module.weight[0].numel()
            module.weight.data.normal_(0, fan_in**-0.5, generator=generator)
            if module.bias is not None:
                module.bias.data.normal_(0, 0.2, generator=generator)
        elif isinstance(module, Block):
            module.stack.data.uniform_(0.5, 1.5, generator=generator)
    for module in model.modules():
        if isinstance(module, Block):  # as trained ones: 24 large branches amplify rounding
            module.g['conv'].weight.data.mul_(0.3)
    return model.eval()


def published(release: str, seed: int = 0) -> State:
    return trained(release, TINY, seed, img_size=32, num_classes=5).state_dict()


def ours(seed: int = 0, **options) -> State:
    """State dict of a tiny backbone in which every tensor has values of its own."""
    backbone = VMINet(TINY, **dict(img_size=32) | options)
    generator = torch.Generator().manual_seed(seed)
    for value in backbone.state_dict().values():
        value.copy_(torch.rand(value.shape, generator=generator) * 10)
    return backbone.state_dict()


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def load(path: str, init: dict | None = None, **options) -> VMINet:
    """A tiny dense backbone, initialized from a checkpoint as a detector's is."""
    init_cfg = dict(type='Pretrained', checkpoint=path, **(init or {}))
    options = dict(arch=TINY, img_size=32, out_indices=(0, 1, 2, 3), init_cfg=init_cfg) | options
    backbone = VMINet(**options)
    backbone.init_weights()
    return backbone.eval()


def assert_loaded(backbone: VMINet, state: State) -> None:
    """Every tensor of the backbone but those of extra norms is the one of the state dict."""
    for name, value in backbone.state_dict().items():
        if name.split('.')[0] not in ('norm0', 'norm1', 'norm2'):
            torch.testing.assert_close(value, state[name], msg=name)
