"""Tiny models and the contents of their checkpoints, for the tests of reading them."""

import torch
from authors_model import TINY, trained
from torch import Tensor

from vminet_mm import VMINet

OPTIONS = dict(first=dict(proj_bn=True, mask='none'), second=dict())
State = dict[str, Tensor]


def published(release: str, seed: int = 0) -> State:
    return trained(release, TINY, seed, img_size=32, num_classes=5).state_dict()


def ours(seed: int = 0, **options) -> State:
    """State dict of a tiny backbone in which every tensor has values of its own."""
    backbone = VMINet(TINY, img_size=32, **options)
    generator = torch.Generator().manual_seed(seed)
    for value in backbone.state_dict().values():
        value.copy_(torch.rand(value.shape, generator=generator) * 10)
    return backbone.state_dict()


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: value for name, value in state.items()}


def load(path: str, init: dict | None = None, **options) -> VMINet:
    """A tiny dense backbone, initialised from a checkpoint as a detector's is."""
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
