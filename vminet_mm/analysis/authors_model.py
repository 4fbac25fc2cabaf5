"""The authors' classifier in both releases, from the formulas, with their parameter names.

It shares no code with the rest of the package: it is what a published checkpoint is a state dict
of, and what the benchmark holds against ours. The steps of a block are theirs too: separate W1 and
W2, unfused norms, a masked copy of E (B, D, L), and the context expanded to every token.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ARCHS = {
    'ti': dict(base_channels=24, expansion=2, depths=(2, 2, 18, 2)),
    'xs': dict(base_channels=48, expansion=2, depths=(2, 2, 18, 2)),
    's': dict(base_channels=48, expansion=4, depths=(2, 2, 18, 2)),
    'b': dict(base_channels=96, expansion=2, depths=(2, 2, 18, 2)),
}
RELEASES = ('first', 'second')


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
    """One block: ``X + ReLU6(s0 c + beta E) W3`` with ``E = ReLU6(U W1) * (U W2)``.

    Args:
        channels (int): C, the channels of input and output.
        expansion (int): k; the hidden channels are D = k * C.
        tokens (int): L, the number of tokens, which is fixed.
        release (str): ``'first'`` (no mask, norm after W3) or ``'second'`` (tril mask, no such
            norm).
    """

    def __init__(self, channels: int, expansion: int, tokens: int, release: str) -> None:
        super().__init__()
        hidden = channels * expansion
        self.masked = release == 'second'
        self.depthwise = 'conv' if self.masked else 'dwconv'
        self.add_module(self.depthwise, conv_bn(channels, channels, 7, groups=channels))
        self.f1 = conv_bn(channels, hidden, 1, bn=False)
        self.f2 = conv_bn(channels, hidden, 1, bn=False)
        self.sum = nn.Linear(tokens, 1, bias=False)
        self.g = conv_bn(hidden, channels, 1, bn=not self.masked)
        self.stack = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) with H * W = L to the same shape."""
        u = apply_conv_bn(getattr(self, self.depthwise), x)
        e = F.relu6(apply_conv_bn(self.f1, u)) * apply_conv_bn(self.f2, u)
        tokens = e.flatten(2)  # (B, D, L)
        if self.masked:  # token i reaches channel n where i >= n
            tokens = tokens.transpose(1, 2).tril().transpose(1, 2)
        context = self.sum(tokens)[..., None].expand_as(e)
        y = self.stack[0] * context + self.stack[1] * e
        return x + apply_conv_bn(self.g, F.relu6(y))


class AuthorsVMINet(nn.Module):
    """The classifier, for images of one size.

    Args:
        release (str): One of :data:`RELEASES`.
        arch (str | dict): A name of :data:`ARCHS`, or a dict such as theirs.
        img_size (int | tuple[int, int]): Size in pixels, one number or (height, width), all sides
            divisible by 32. Defaults to 224.
        num_classes (int): Outputs of the linear layer. Defaults to 1000.
    """

    def __init__(
        self,
        release: str,
        arch: str | dict,
        img_size: int | tuple[int, int] = 224,
        num_classes: int = 1000,
    ) -> None:
        super().__init__()
        arch = ARCHS[arch] if isinstance(arch, str) else arch
        rows, columns = (img_size, img_size) if isinstance(img_size, int) else img_size
        self.stem = nn.ModuleList([conv_bn(3, 32, 3, stride=2)])
        self.stages = nn.ModuleList()
        channels = 32
        for i, depth in enumerate(arch['depths']):
            width = arch['base_channels'] * 2**i
            tokens = (rows // 2 ** (i + 2)) * (columns // 2 ** (i + 2))
            stage = nn.ModuleList([conv_bn(channels, width, 3, stride=2)])
            stage.extend(Block(width, arch['expansion'], tokens, release) for _ in range(depth))
            self.stages.append(stage)
            channels = width
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to logits (B, num_classes)."""
        x = F.relu6(apply_conv_bn(self.stem[0], x))
        for downsampling, *blocks in self.stages:
            x = apply_conv_bn(downsampling, x)
            for block in blocks:
                x = block(x)
        return self.head(self.norm(x).mean((2, 3)))
