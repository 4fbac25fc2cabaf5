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
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.checkpoint import checkpoint

from ..ops import (
    CONTEXT_RESIZES,
    attend_and_project,
    choose_op,
    make_mask,
    mask_spans,
    resize_field,
)

ATTENTIONS = ('vmi_sa', 'none')
RECURRENT_MASKS = ('readout', 'inside')


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
        band_halfwidth: Half the width of the ``'band'`` mask as a fraction of min(L, D).
        context_resize: ``'pool'`` or ``'interpolate'``, see :func:`vminet_mm.ops.context`. The
            recurrent form has no use for it.
        form: ``'matrix'`` (eq. 10) or ``'recurrent'`` (eq. 9), in which a token sees those before
            it and beta is a number per token.
        recurrent_mask: Where the mask of the recurrent form acts, ``'readout'`` or ``'inside'``
            the sum, see :func:`vminet_mm.ops.recurrent_reference.recurrent_attention`.
        impl: See :func:`vminet_mm.ops.choose_op`.
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
        form: str = 'matrix',
        recurrent_mask: str = 'readout',
        impl: str = 'auto',
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
        if recurrent_mask not in RECURRENT_MASKS:
            raise ValueError(
                f'unknown recurrent_mask {recurrent_mask!r}; choose one of {RECURRENT_MASKS}'
            )
        self.attention = attention
        self.context_resize = context_resize
        self.form = form
        self.recurrent_mask = recurrent_mask
        self.with_cp = with_cp
        self.attention_op = choose_op(form, impl)

        hidden = expansion * channels
        self.dwconv = ConvBN(channels, channels, 7, norm_cfg, groups=channels)
        self.query = nn.Conv2d(channels, hidden, 1)
        if attention == 'vmi_sa':
            self.key = nn.Conv2d(channels, hidden, 1)
            # alpha is two-dimensional, so that rules which spare 1-D parameters decay it
            self.alpha = nn.Parameter(torch.empty(native_size))
            if form == 'matrix':
                self.scale = nn.Parameter(torch.ones(1))
            self.beta = nn.Parameter(torch.ones(native_size if form == 'recurrent' else 1))
            context_mask = make_mask(mask, self.alpha.numel(), hidden, band_halfwidth)
            self.mask_spans = mask_spans(context_mask)
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
        if self.attention == 'none':
            return self.proj(F.relu6(self.query(x)))
        fields = [self.alpha, self.beta]
        if self.form == 'matrix':
            fields.append(self.scale)
        inputs = (self._query_key(x), *fields)
        if self.with_cp:
            x = self.proj.conv(self._attend(*inputs))
        else:
            x = attend_and_project(self._attend, self.proj.conv, *inputs)
        return self.proj.bn(x) if hasattr(self.proj, 'bn') else x

    def _query_key(self, x: Tensor) -> Tensor:
        """Q and K as one (B, 2D, H, W): their two convolutions in one matrix product."""
        if hasattr(self, 'query_key'):  # folded
            return self.query_key(x)
        weight = torch.cat([self.query.weight, self.key.weight])
        return F.conv2d(x, weight, torch.cat([self.query.bias, self.key.bias]))

    def _attend(
        self, query_key: Tensor, alpha: Tensor, beta: Tensor, scale: Tensor | None = None
    ) -> Tensor:
        query, key = query_key.chunk(2, dim=1)
        if self.form == 'recurrent':
            return self.attention_op(query, key, alpha, self.mask, beta, self.recurrent_mask)
        return self.attention_op(
            query, key, alpha, self.mask, scale, beta, self.context_resize, self.mask_spans
        )

    @torch.no_grad()
    def switch_to_deploy(self) -> None:
        """Fold, in place and for inference only, what follows one another linearly.

        Batch norms go into their convolutions, s0 into alpha, and W1 and W2 become one
        convolution. The result changes by rounding alone; the state dict is another one.
        """
        self.dwconv = fold_norm(self.dwconv)
        self.proj = fold_norm(self.proj)
        if self.attention == 'vmi_sa' and not hasattr(self, 'query_key'):
            query = self.query
            self.query_key = nn.Conv2d(query.in_channels, 2 * query.out_channels, 1)
            self.query_key.to(query.weight)
            self.query_key.weight.copy_(torch.cat([query.weight, self.key.weight]))
            self.query_key.bias.copy_(torch.cat([query.bias, self.key.bias]))
            del self.query, self.key
            if self.form == 'matrix':
                self.alpha.mul_(self.scale)
                self.scale.fill_(1)
        self.eval().requires_grad_(False)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Resize the token weights where the checkpoint has another native grid."""
        for part in ('alpha', 'beta'):
            name, own = prefix + part, getattr(self, part, None)
            given = state_dict.get(name)
            if own is None or given is None or given.shape == own.shape:
                continue
            if given.ndim == 2 and own.ndim == 2 and given.numel() > 0:
                print_log(
                    f'{name} resized from the grid {tuple(given.shape)} of the checkpoint to '
                    f'{tuple(own.shape)}',
                    logger='current',
                )
                state_dict[name] = resize_field(given, own.shape, keep_sum=part == 'alpha')
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def fold_norm(layers: nn.Sequential) -> nn.Sequential:
    """A convolution with the batch norm after it folded in, where there is one."""
    if len(layers) < 2 or not isinstance(layers.bn, _BatchNorm):
        return layers
    return nn.Sequential(OrderedDict(conv=fuse_conv_bn_eval(layers.conv.eval(), layers.bn.eval())))


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
