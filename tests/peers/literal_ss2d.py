"""The 2D selective scan, pixel after pixel, from its definition."""

import torch
import torch.nn.functional as F
from torch import Tensor

from vminet_mm.peers.ss2d import SS2D

Path = list[tuple[int, int]]  # rows and columns, in the order in which they are read


def literal_ss2d(module: SS2D, x: Tensor, paths: list[Path]) -> Tensor:
    """What the module makes of a map (C, H, W) whose four sequences read the pixels of the paths.

    A pixel beyond the map is zero, and what is read there is lost.
    """
    inner, states = module.Ds.numel() // 4, module.A_logs.shape[1]
    projected = torch.einsum('dc,chw->dhw', module.in_proj.weight[:, :, 0, 0], x)
    gate = F.silu(projected[inner:])
    convolved = F.conv2d(
        F.pad(projected[:inner], (1, 1, 1, 1)),
        module.conv2d.weight,
        module.conv2d.bias,
        groups=inner,
    )
    read = F.silu(convolved)
    total = torch.zeros_like(read)
    rank = module.dt_projs_weight.shape[2]
    for k, path in enumerate(paths):
        rates = -module.A_logs[k * inner : (k + 1) * inner].exp()
        skip = module.Ds[k * inner : (k + 1) * inner]
        state = torch.zeros(inner, states, dtype=x.dtype)
        for row, column in path:
            inside = row < x.shape[1] and column < x.shape[2]
            u = read[:, row, column] if inside else torch.zeros(inner, dtype=x.dtype)
            step, b, c = (module.x_proj_weight[k] @ u).split((rank, states, states))
            delta = F.softplus(module.dt_projs_weight[k] @ step + module.dt_projs_bias[k])
            state = torch.exp(delta[:, None] * rates) * state + torch.outer(delta * u, b)
            if inside:
                total[:, row, column] += state @ c + skip * u
    norm = module.out_norm
    y = F.layer_norm(total.permute(1, 2, 0), (inner,), norm.weight, norm.bias).permute(2, 0, 1)
    y = y * gate if len(gate) else y
    return torch.einsum('cd,dhw->chw', module.out_proj.weight[:, :, 0, 0], y)
