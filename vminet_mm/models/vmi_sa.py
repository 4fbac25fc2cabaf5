"""The VMI-SA block: depth-wise convolution and separable self-attention (Section 3.2, Fig. 2)."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
import torch.nn.functional as F
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks import DropPath
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ..ops import CONTEXT_RESIZES, make_mask, resize_field, separable_attention

ATTENTIONS = ('vmi_sa', 'none')


class ConvBN(nn.Sequential):
    """A convolution with bias, followed by a norm.

    Not mmcv's ConvModule, which warns of every bias before a batch norm.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Edge of the kernel in pixels; the padding keeps the size at stride 1.
        norm_cfg: Config of the norm.
        **kwargs: Passed to :class:`torch.nn.Conv2d`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, norm_cfg: dict, **kwargs
    ) -> None:
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, **kwargs)
        norm = build_norm_layer(norm_cfg, out_channels)[1]
        super().__init__(OrderedDict(conv=conv, bn=norm))


class VMISABlock(BaseModule):
    """A block of VMINet: ``X + DropPath(ReLU6(attention(BN(DWConv7x7(X)))) W3)``.

    Args:
        channels: C, the channels of input and output.
        native_size: (H0, W0), the grid on which alpha and the mask live.
        expansion: k; the hidden channels are D = k * C.
        attention: ``'vmi_sa'``, or ``'none'`` for the ablation of Fig. 4, in which the block is
            ``X + W3(ReLU6(W1(BN(DWConv7x7(X)))))``.
        mask: The context mask, see :func:`vminet_mm.ops.make_mask`.
        band_halfwidth: Half the width of the ``'band'`` mask as a share of min(L, D).
        context_resize: ``'pool'`` or ``'interpolate'``, see :func:`vminet_mm.ops.context`.
        proj_bn: Norm after the last convolution, as in the authors' first release.
        drop_path: Probability of dropping the branch of an image in training.
        norm_cfg: Config of the norms.
        with_cp: Recompute the block in the backward pass instead of keeping its activations.
    """

    def __init__(
        self,
        channels: int,
        native_size: tuple[int, int],
        expansion: int = 2,
        attention: str = 'vmi_sa',
        mask: str = 'tril',
        band_halfwidth: float = 0.5,
        context_resize: str = 'pool',
        proj_bn: bool = False,
        drop_path: float = 0.0,
        norm_cfg: dict = dict(type='BN'),
        with_cp: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if attention not in ATTENTIONS:
            raise ValueError(f'unknown attention {attention!r}; choose one of {ATTENTIONS}')
        if context_resize not in CONTEXT_RESIZES:
            raise ValueError(
                f'unknown context_resize {context_resize!r}; choose one of {CONTEXT_RESIZES}'
            )
        self.attention = attention
        self.context_resize = context_resize
        self.with_cp = with_cp

        hidden = expansion * channels
        self.dwconv = ConvBN(channels, channels, 7, norm_cfg, groups=channels)
        self.query = nn.Conv2d(channels, hidden, 1)
        if attention == 'vmi_sa':
            self.key = nn.Conv2d(channels, hidden, 1)
            # alpha is two-dimensional, so that rules which spare 1-D parameters decay it
            self.alpha = nn.Parameter(torch.empty(native_size))
            self.scale = nn.Parameter(torch.ones(1))
            self.beta = nn.Parameter(torch.ones(1))
            context_mask = make_mask(mask, self.alpha.numel(), hidden, band_halfwidth)
            self.register_buffer('mask', context_mask, persistent=False)
            nn.init.trunc_normal_(self.alpha, std=0.02)
        if proj_bn:
            self.proj = ConvBN(hidden, channels, 1, norm_cfg)
        else:
            self.proj = nn.Sequential(OrderedDict(conv=nn.Conv2d(hidden, channels, 1)))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape; any H and W from 1 up."""
        if self.with_cp and torch.is_grad_enabled():
            branch = checkpoint(
                self._branch,
                x,
                use_reentrant=False,
                context_fn=lambda: (nullcontext(), _frozen_running_stats(self)),
            )
        else:
            branch = self._branch(x)
        return x + self.drop_path(branch)

    def _branch(self, x: Tensor) -> Tensor:
        x = self.dwconv(x)
        query = self.query(x)
        if self.attention == 'none':
            return self.proj(F.relu6(query))
        x = separable_attention(
            query,
            self.key(x),
            self.alpha,
            self.mask,
            self.scale,
            self.beta,
            self.context_resize,
        )
        return self.proj(x)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Resize alpha where the checkpoint has another native grid."""
        name = prefix + 'alpha'
        alpha = state_dict.get(name)
        native = self.alpha.shape if self.attention == 'vmi_sa' else None
        if alpha is not None and alpha.ndim == 2 and native not in (None, alpha.shape):
            print_log(
                f'{name} resized from the grid {tuple(alpha.shape)} of the checkpoint to '
                f'{tuple(native)}',
                logger='current',
            )
            state_dict[name] = resize_field(alpha, native)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


@contextmanager
def _frozen_running_stats(module: nn.Module) -> Iterator[None]:
    """Keep the running statistics: recomputing a batch must not count it twice."""
    # batch norm saves the statistics for its backward pass, so it must go on tracking them here
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    buffers = [buffer for norm in norms for buffer in norm.buffers()]
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)
