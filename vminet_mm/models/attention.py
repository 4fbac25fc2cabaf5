"""VMI-SA, separable self-attention with a mask (Section 3.3, eqs. 9 and 10)."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from torch import Tensor, nn

from ..ops import (
    add_branch,
    apply_pointwise,
    attend_and_project,
    can_project_matrix,
    choose_op,
    make_mask,
    mask_spans,
    pointwise_conv,
    project_matrix,
    resize_field,
)


class VMISA(nn.Module):
    """VMI-SA between the norm of a block and its last projection W3.

    With Q = U W1 + b1, K = U W2 + b2 and E = ReLU6(Q) * K, the output is ReLU6(Y), where

    - in the matrix form (eq. 10) ``Y = s0 * c + beta * E`` with one context per channel,
      ``c[n] = sum_i alpha[i] M[i, n] E[i, n]``;
    - in the recurrent form (eq. 9) ``Y_i = M_i * h_i + beta_i E_i`` with
      ``h_i = h_{i-1} + alpha[i] E_i``.

    s0 and the two ReLU6 stand in the authors' implementation and not in the equations.

    Args:
        channels (int): C, the channels of the input.
        hidden (int): D, the channels of the output.
        native_size (tuple[int, int]): (H0, W0), the grid on which alpha and the mask live.
        form (str): ``'matrix'`` or ``'recurrent'``. Defaults to ``'matrix'``.
        mask (str): The context mask M, see :func:`vminet_mm.ops.make_mask`. Defaults to
            ``'tril'``.
        band_halfwidth (float): Half the width of the ``'band'`` mask as a fraction of min(L, D).
            Defaults to 0.5.
        context_resize (str): ``'pool'`` or ``'interpolate'``, see :func:`vminet_mm.ops.context`;
            not used by the recurrent form. Defaults to ``'pool'``.
        recurrent_mask (str): Where the mask of the recurrent form acts, ``'readout'`` or
            ``'inside'`` the sum, see
            :func:`vminet_mm.ops.recurrent_reference.recurrent_attention`. Defaults to
            ``'readout'``.
        impl (str): See :func:`vminet_mm.ops.choose_op`. Defaults to ``'auto'``.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        native_size: tuple[int, int],
        form: str = 'matrix',
        mask: str = 'tril',
        band_halfwidth: float = 0.5,
        context_resize: str = 'pool',
        recurrent_mask: str = 'readout',
        impl: str = 'auto',
    ) -> None:
        super().__init__()
        self.form = form
        self.context_resize = context_resize
        self.recurrent_mask = recurrent_mask
        self.use_op(choose_op(form, impl))

        self.query = nn.Conv2d(channels, hidden, 1)
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

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to ReLU6(Y), (B, D, H, W); any H and W from 1 up."""
        return self.attend(*self.inputs(x))

    def projects(self, x: Tensor) -> bool:
        """Whether :meth:`project` does more than a call: with gradients always.

        Without them where kernels compute both, unless a hook waits for the output of this module.
        """
        if torch.is_grad_enabled():
            return True
        is_hooked = self._forward_hooks or self._forward_pre_hooks
        return not is_hooked and can_project_matrix(
            self.op, x, self.alpha, self.mask, self.context_resize
        )

    def project(
        self,
        x: Tensor,
        conv: nn.Conv2d,
        residual: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> Tensor:
        """``residual + keep conv(self(x))`` in few passes, which keeps less for the backward pass.

        Args:
            x (Tensor): (B, C, H, W).
            conv (nn.Conv2d): W3.
            residual (Tensor, optional): (B, C, H, W). Defaults to None, for none.
            keep (Tensor, optional): (B, 1, 1, 1), a factor for each image. Defaults to None, for 1.
        """
        if can_project_matrix(self.op, x, self.alpha, self.mask, self.context_resize):
            fields = self.alpha, self.mask, self.scale, self.beta
            linears = *self._linears(), conv.weight, conv.bias
            options = self.context_resize, self.mask_spans
            return project_matrix(self.op, x, linears, fields, *options, residual, keep)
        branch = attend_and_project(self.attend, conv, *self.inputs(x))
        return branch if residual is None else add_branch(residual, branch, keep)

    def _linears(self) -> tuple[Tensor, ...]:
        """Weight and bias of W1 and of W2."""
        if hasattr(self, 'query_key'):  # folded
            weights, biases = self.query_key.weight.chunk(2), self.query_key.bias.chunk(2)
            return weights[0], biases[0], weights[1], biases[1]
        return self.query.weight, self.query.bias, self.key.weight, self.key.bias

    def inputs(self, x: Tensor) -> tuple[Tensor, ...]:
        """The tensors that :meth:`attend` depends on: Q and K as one (B, 2D, H, W), and fields."""
        fields = [self.alpha, self.beta]
        if self.form == 'matrix':
            fields.append(self.scale)
        return self.query_and_key(x), *fields

    def query_and_key(self, x: Tensor) -> Tensor:
        """Q and K as one (B, 2D, H, W): their two convolutions in one matrix product."""
        if hasattr(self, 'query_key'):  # folded
            return apply_pointwise(self.query_key, x)
        weight = torch.cat([self.query.weight, self.key.weight])
        return pointwise_conv(x, weight, torch.cat([self.query.bias, self.key.bias]))

    def attend(
        self, query_key: Tensor, alpha: Tensor, beta: Tensor, scale: Tensor | None = None
    ) -> Tensor:
        """ReLU6(Y), (B, D, H, W), of what :meth:`inputs` returns."""
        query, key = query_key.chunk(2, dim=1)
        if self.form == 'recurrent':
            return self.op(query, key, alpha, self.mask, beta, self.recurrent_mask)
        return self.op(
            query, key, alpha, self.mask, scale, beta, self.context_resize, self.mask_spans
        )

    def use_op(self, op: Callable[..., Tensor]) -> None:
        """Compute with another implementation, of the signature of the form's reference."""
        self.op = op

    @torch.no_grad()
    def switch_to_deploy(self) -> None:
        """Fold s0 into alpha, and W1 and W2 into one convolution, for inference only."""
        if hasattr(self, 'query_key'):
            return
        query = self.query
        self.query_key = nn.Conv2d(query.in_channels, 2 * query.out_channels, 1)
        self.query_key.to(query.weight)
        self.query_key.weight.copy_(torch.cat([query.weight, self.key.weight]))
        self.query_key.bias.copy_(torch.cat([query.bias, self.key.bias]))
        del self.query, self.key
        if self.form == 'matrix':
            self.alpha.mul_(self.scale)
            self.scale.fill_(1)

    @torch.no_grad()
    def absorb_shift(self, shift: Tensor) -> None:
        """Once folded, take (C) off the input: the result is that of ``x + shift`` before."""
        add_shift(self.query_key, shift)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args, **kwargs) -> None:
        """Resize the token weights where the checkpoint has another native grid."""
        for part in ('alpha', 'beta'):
            name, own = prefix + part, getattr(self, part)
            given = state_dict.get(name)
            if given is None or given.shape == own.shape:
                continue
            if given.ndim == 2 and own.ndim == 2 and given.numel() > 0:
                print_log(
                    f'{name} resized from the grid {tuple(given.shape)} of the checkpoint to '
                    f'{tuple(own.shape)}',
                    logger='current',
                )
                state_dict[name] = resize_field(given, own.shape, keep_sum=part == 'alpha')
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


class NoAttention(nn.Module):
    """Replacement of :class:`VMISA` in the ablation of Fig. 4: ReLU6(U W1 + b1).

    Args:
        channels (int): C, the channels of the input.
        hidden (int): D, the channels of the output.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, D, H, W)."""
        return self.attend(*self.inputs(x))

    def projects(self, x: Tensor) -> bool:
        """As in :class:`VMISA`."""
        return torch.is_grad_enabled()

    def project(
        self,
        x: Tensor,
        conv: nn.Conv2d,
        residual: Tensor | None = None,
        keep: Tensor | None = None,
    ) -> Tensor:
        """``residual + keep conv(self(x))``, as in :class:`VMISA`."""
        branch = attend_and_project(self.attend, conv, *self.inputs(x))
        return branch if residual is None else add_branch(residual, branch, keep)

    def inputs(self, x: Tensor) -> tuple[Tensor]:
        """What :meth:`attend` depends on, as in :class:`VMISA`."""
        return (apply_pointwise(self.query, x),)

    def attend(self, query: Tensor) -> Tensor:
        """ReLU6 of what :meth:`inputs` returns."""
        return F.relu6(query)

    def switch_to_deploy(self) -> None:
        """There is nothing to fold."""

    @torch.no_grad()
    def absorb_shift(self, shift: Tensor) -> None:
        """As in :class:`VMISA`."""
        add_shift(self.query, shift)


def add_shift(conv: nn.Conv2d, shift: Tensor) -> None:
    """Change a 1x1 convolution so that it maps x to what it mapped ``x + shift`` to."""
    conv.bias.add_((conv.weight.flatten(1).float() * shift.float()).sum(1))


def build_attention(
    channels: int,
    hidden: int,
    native_size: tuple[int, int],
    attention: str = 'vmi_sa',
    **options: object,
) -> VMISA | NoAttention:
    """The attention of a block: a :class:`VMISA`, or for ``'none'`` the ablation of Fig. 4.

    The ablation needs none of the options.
    """
    if attention == 'none':
        return NoAttention(channels, hidden)
    return VMISA(channels, hidden, native_size, **options)
