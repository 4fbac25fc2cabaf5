"""VMI-SA in the order of operators that inference runtimes (onnxruntime, OpenVINO) are quick at."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..ops.matrix_export import context
from .attention import VMISA

MIN_BETA = 1e-3  # smaller ones would make alpha / beta large


class ServedAttention(nn.Module):
    """A folded :class:`VMISA` of the matrix form, for inference in float32.

    W1 and W2 are two convolutions again: nothing is split, which would copy Q and K, and ReLU6 can
    be a part of the first one. beta goes into W2 and b2, and its inverse into alpha:
    ``Y = c' + E'`` with ``E' = beta E`` and ``c'`` of ``alpha / beta`` and ``E'``.

    Args:
        attention (VMISA): After its ``switch_to_deploy``.
        is_fixed (bool): Whether the module is traced for images of one size. At the native size
            the context is then one depth-wise convolution with a kernel as large as the map.
            Defaults to False.
    """

    @torch.no_grad()
    def __init__(self, attention: VMISA, is_fixed: bool = False) -> None:
        super().__init__()
        folded, beta = attention.query_key, float(attention.beta)
        self.gain = 1.0 if abs(beta) >= MIN_BETA else beta  # what is left of beta
        factor = beta if self.gain == 1 else 1.0
        self.query, self.key = (self._half(folded, number) for number in range(2))
        self.key.weight.mul_(factor)
        self.key.bias.mul_(factor)
        alpha = attention.alpha / factor
        self.register_buffer('alpha', alpha)
        self.register_buffer('mask', attention.mask)
        self.context_resize = attention.context_resize
        self.spans = attention.mask_spans or (len(attention.mask), len(attention.mask))
        if is_fixed:
            kernel = attention.mask.t().unflatten(1, alpha.shape) * alpha
            self.register_buffer('kernel', kernel[:, None].contiguous())
        self.is_fixed = is_fixed

    @staticmethod
    def _half(folded: nn.Conv2d, number: int) -> nn.Conv2d:
        """W1, b1 (0) or W2, b2 (1) as a convolution."""
        half = nn.Conv2d(folded.in_channels, folded.out_channels // 2, 1).to(folded.weight)
        half.weight.copy_(folded.weight.chunk(2)[number])
        half.bias.copy_(folded.bias.chunk(2)[number])
        return half.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to ReLU6(Y), (B, D, H, W)."""
        embedding = F.relu6(self.query(x)) * self.key(x)
        if self.is_fixed and embedding.shape[2:] == self.alpha.shape:
            summary = F.conv2d(embedding, self.kernel, groups=len(self.kernel))
        else:
            summary = context(embedding, self.alpha, self.mask, self.context_resize, *self.spans)
            summary = summary[:, :, None, None]
        return F.relu6(summary + (embedding if self.gain == 1 else self.gain * embedding))

    def projects(self, x: Tensor) -> bool:
        """Never: a call is all."""
        return False


def serve(model: nn.Module, is_fixed: bool = False) -> None:
    """Replace the attention of every folded block of the matrix form, in place.

    Args:
        model (nn.Module): After :func:`~vminet_mm.models.switch_to_deploy`.
        is_fixed (bool): See :class:`ServedAttention`. Defaults to False.
    """
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, VMISA) and hasattr(child, 'query_key') and child.form == 'matrix':
                setattr(parent, name, ServedAttention(child, is_fixed))
