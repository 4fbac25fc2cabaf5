"""The authors' classifier in both releases, from the formulas, with their parameter names.

It shares no code with the package: it is what a published checkpoint is a state dict of.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ARCHS = {
    'ti': dict(base_channels=24, expansion=2, depths=(2, 2, 18, 2)),
    'xs': dict(base_channels=48, expansion=2, depths=(2, 2, 18, 2)),
    's': dict(base_channels=48, expansion=4, depths=(2, 2, 18, 2)),
}
TINY = dict(base_channels=4, expansion=2, depths=(1, 1, 2, 1))


def conv_bn(
    channels: int, out: int, size: int, stride: int = 1, groups: int = 1, bn: bool = True
) -> nn.ModuleDict:
    """Their convolution: parts ``conv`` and, unless without norm, ``bn``."""
    parts = nn.ModuleDict()
    parts['conv'] = nn.Conv2d(channels, out, size, stride, size // 2, groups=groups)
    if bn:
        parts['bn'] = nn.BatchNorm2d(out)
    return parts


def apply_conv_bn(parts: nn.ModuleDict, x: Tensor) -> Tensor:
    """Run a :func:`conv_bn`."""
    for part in parts.values():
        x = part(x)
    return x


class Block(nn.Module):
    """One block; ``release`` is ``'first'`` or ``'second'``, ``tokens`` the number L."""

    def __init__(self, channels: int, expansion: int, tokens: int, release: str) -> None:
        super().__init__()
        hidden = channels * expansion
        self.depthwise = 'dwconv' if release == 'first' else 'conv'
        self.add_module(self.depthwise, conv_bn(channels, channels, 7, groups=channels))
        self.f1 = conv_bn(channels, hidden, 1, bn=False)
        self.f2 = conv_bn(channels, hidden, 1, bn=False)
        self.sum = nn.Linear(tokens, 1, bias=False)
        self.g = conv_bn(hidden, channels, 1, bn=release == 'first')
        self.stack = nn.Parameter(torch.ones(2))
        token, channel = torch.meshgrid(
            torch.arange(1, tokens + 1), torch.arange(1, hidden + 1), indexing='ij'
        )
        reaches = token >= channel if release == 'second' else torch.ones_like(token) > 0
        self.reaches = reaches.T  # (D, L); a plain tensor, so that no state dict has it

    def forward(self, x: Tensor) -> Tensor:
        u = apply_conv_bn(getattr(self, self.depthwise), x)
        e = F.relu6(apply_conv_bn(self.f1, u)) * apply_conv_bn(self.f2, u)
        weights = self.sum.weight * self.reaches  # (D, L)
        context = (e.flatten(2) * weights).sum(2)[:, :, None, None]
        y = self.stack[0] * context + self.stack[1] * e
        return x + apply_conv_bn(self.g, F.relu6(y))


class AuthorsVMINet(nn.Module):
    """The classifier for square images of ``img_size``."""

    def __init__(
        self, release: str, arch: dict, img_size: int = 224, num_classes: int = 1000
    ) -> None:
        super().__init__()
        self.stem = nn.ModuleList([conv_bn(3, 32, 3, stride=2)])
        self.stages = nn.ModuleList()
        channels = 32
        for i, depth in enumerate(arch['depths']):
            width = arch['base_channels'] * 2**i
            tokens = (img_size // 2 ** (i + 2)) ** 2
            stage = nn.ModuleList([conv_bn(channels, width, 3, stride=2)])
            stage.extend(Block(width, arch['expansion'], tokens, release) for _ in range(depth))
            self.stages.append(stage)
            channels = width
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(apply_conv_bn(self.stem[0], x))
        for downsampling, *blocks in self.stages:
            x = apply_conv_bn(downsampling, x)
            for block in blocks:
                x = block(x)
        return self.head(self.norm(x).mean((2, 3)))


def trained(release: str, arch: dict | str, seed: int = 0, **kwargs) -> AuthorsVMINet:
    """A model in evaluation mode in which every tensor has values of its own.

    They are such that alpha, the mask and the statistics all matter to the logits.
    """
    model = AuthorsVMINet(release, ARCHS[arch] if isinstance(arch, str) else arch, **kwargs)
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
