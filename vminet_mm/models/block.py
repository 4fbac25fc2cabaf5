"""The VMI-SA block: depth-wise convolution and separable self-attention (Section 3.3, Fig. 1)."""

from collections import OrderedDict

import torch
from mmcv.cnn import build_norm_layer
from mmcv.cnn.bricks import DropPath
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..checkpoints.formats import KERNEL_SIZE, current_name
from ..ops import add_branch, apply_pointwise, pointwise_dtype
from .attention import build_attention
from .conv_norm import conv_without_bias, drops_bias
from .options import parse_attn
from .recompute import recompute


class ConvBN(nn.Sequential):
    """A convolution with bias, followed by a norm.

    Not mmcv's ConvModule, which warns of every bias before a batch norm.

    Args:
        in_channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        kernel_size (int): Edge of the kernel in pixels; the padding keeps the size at stride 1.
        norm_cfg (dict): Config of the norm.
        **kwargs: Passed to :class:`torch.nn.Conv2d`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, norm_cfg: dict, **kwargs
    ) -> None:
        conv = nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, **kwargs)
        norm = build_norm_layer(norm_cfg, out_channels)[1]
        super().__init__(OrderedDict(conv=conv, bn=norm))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to what the norm returns."""
        if drops_bias(x, self.bn):
            return conv_without_bias(x, self.conv, self.bn)
        return super().forward(x)


class VMISABlock(BaseModule):
    """A block of VMINet: ``X + DropPath(attention(BN(DWConv(X))) W3 + b3)`` (Fig. 1).

    Args:
        channels (int): C, the channels of input and output.
        native_size (tuple[int, int]): (H0, W0), the grid on which alpha and the mask live.
        expansion (int): k; the hidden channels are D = k * C. Defaults to 2.
        attn_cfg (dict, optional): Options of the attention, see :class:`.VMINet`; the mask is not
            ``'hybrid'``. Defaults to None, the paper's.
        drop_path (float): Probability of dropping the branch of an image in training. Defaults
            to 0.
        norm_cfg (dict): Config of the norms. Defaults to ``dict(type='BN')``.
        with_cp (bool): Recompute the block in the backward pass instead of keeping its
            activations. Defaults to False.
        init_cfg (dict, optional): Config of the initialization. Defaults to None.
        kernel_size (int): Edge of the depth-wise kernels, odd. Defaults to 7, the paper's.
    """

    def __init__(
        self,
        channels: int,
        native_size: tuple[int, int],
        expansion: int = 2,
        attn_cfg: dict | None = None,
        drop_path: float = 0.0,
        norm_cfg: dict = dict(type='BN'),
        with_cp: bool = False,
        init_cfg: dict | None = None,
        kernel_size: int = KERNEL_SIZE,
    ) -> None:
        super().__init__(init_cfg)
        attn_cfg = parse_attn(attn_cfg)
        proj_bn = attn_cfg.pop('proj_bn')
        del attn_cfg['mask_padding']  # of the backbone
        self.with_cp = with_cp

        hidden = expansion * channels
        self.dwconv = ConvBN(channels, channels, kernel_size, norm_cfg, groups=channels)
        self.attn = build_attention(channels, hidden, native_size, **attn_cfg)
        if proj_bn:
            self.proj = ConvBN(hidden, channels, 1, norm_cfg)
        else:
            self.proj = nn.Sequential(OrderedDict(conv=nn.Conv2d(hidden, channels, 1)))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape; any H and W from 1 up."""
        if self.with_cp and torch.is_grad_enabled():
            branch = recompute(self, lambda x: self._project(self.dwconv(x)), x)
            return add_branch(x, branch, draw_path(branch, branch.dtype, self.drop_path))
        u = self.dwconv(x)
        if self.attn.projects(u) and not hasattr(self.proj, 'bn'):
            keep = draw_path(u, pointwise_dtype(u), self.drop_path)
            return self.attn.project(u, self.proj.conv, x, keep)
        branch = self._project(u)
        return add_branch(x, branch, draw_path(branch, branch.dtype, self.drop_path))

    def _project(self, u: Tensor) -> Tensor:
        """The branch from the input of the attention."""
        if self.attn.projects(u) and not self.with_cp:  # what is computed twice keeps all once
            x = self.attn.project(u, self.proj.conv)
        else:
            x = apply_pointwise(self.proj.conv, self.attn(u))
        return self.proj.bn(x) if hasattr(self.proj, 'bn') else x

    @torch.no_grad()
    def switch_to_deploy(self) -> None:
        """Fold consecutive linear operations, in place and for inference only.

        Batch norms go into their convolutions, the bias of the depth-wise one into those of W1 and
        W2, which become one convolution, and s0 into alpha. The result changes by rounding alone;
        the state dict is another one.
        """
        self.dwconv = fold_norm(self.dwconv)
        self.proj = fold_norm(self.proj)
        self.attn.switch_to_deploy()
        if len(self.dwconv) == 1 and self.dwconv.conv.bias is not None:
            self.attn.absorb_shift(self.dwconv.conv.bias)
            self.dwconv.conv.bias = None
        self.eval().requires_grad_(False)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Take the names of checkpoints from before the attention was a module of its own."""
        for name in [k for k in state_dict if k.startswith(prefix)]:
            new_name = prefix + current_name(name[len(prefix) :])
            if new_name != name:
                state_dict[new_name] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def draw_path(x: Tensor, dtype: torch.dtype, drop_path: DropPath) -> Tensor | None:
    """The factors (B, 1, 1, 1) that ``drop_path`` draws for images (B, ...); None for 1."""
    if not (drop_path.training and drop_path.drop_prob > 0):
        return None
    return drop_path(x.new_ones(len(x), 1, 1, 1, dtype=dtype))


def fold_norm(layers: nn.Sequential) -> nn.Sequential:
    """A convolution with the batch norm after it folded in, where there is one."""
    if len(layers) < 2 or not isinstance(layers.bn, _BatchNorm):
        return layers
    return nn.Sequential(OrderedDict(conv=fuse_conv_bn_eval(layers.conv.eval(), layers.bn.eval())))
