"""Small columnar backbones, and parts of their definitions written out."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vminet_mm.ops.selective_scan.reference import selective_scan

ARCH = dict(embed_dims=32, num_layers=3)
ARCHS = {
    'Vim': ARCH,
    'LocalVim': ARCH,
    'PlainMamba': dict(ARCH, num_convs=2, conv_layers=(1,)),
}
CLASSIFIES = {
    'Vim': dict(out_type='cls_token'),
    'LocalVim': dict(out_type='avg_featmap'),
    'PlainMamba': {},
}


def spread(model: nn.Module) -> nn.Module:
    """Give all parameters values that no initialization would hide an error behind."""
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if not name.rpartition('.')[2].startswith('A_'):
            parameter.data.normal_(std=0.3)
    return model.eval()


def causal_convolution(x: Tensor, conv: nn.Conv1d) -> Tensor:
    """SiLU of the sum over four tokens up to each one, (B, D, L)."""
    weight, width = conv.weight[:, 0], conv.weight.shape[-1]
    padded = F.pad(x, (width - 1, 0))
    return F.silu(
        torch.stack(
            [
                (padded[:, :, t : t + width] * weight).sum(-1) + conv.bias
                for t in range(x.shape[-1])
            ],
            2,
        )
    )


def scanned(mixer: nn.Module, x: Tensor, ending: str, matrix: str) -> Tensor:
    """The scan of (B, D, L) with step size, B and C of the same tokens."""
    rank, states = mixer.sizes[:2]
    found = x.transpose(1, 2) @ getattr(mixer, f'x_proj{ending}').weight.t()
    step, B, C = found[..., :rank], found[..., rank : rank + states], found[..., -states:]
    linear = getattr(mixer, f'dt_proj{ending}')
    step = F.softplus(F.linear(step, linear.weight, linear.bias))
    A = -getattr(mixer, matrix).exp()
    return selective_scan(
        x, step.mT, A, B.mT, C.mT, getattr(mixer, f'D{ending}'), delta_softplus=False
    )
