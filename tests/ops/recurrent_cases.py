"""Inputs of the recurrent form, and a scan against the loop, with every gradient."""

from collections.abc import Callable

import torch
from torch import Tensor

from vminet_mm.ops import make_mask
from vminet_mm.ops.recurrent_reference import recurrent_attention as definition

LEARNED = ('query', 'key', 'alpha', 'beta')
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    'contiguous': Tensor.contiguous,
    'halves': lambda x: torch.cat([x, x], 1).chunk(2, 1)[0],
    'channels_last': lambda x: x.contiguous(memory_format=torch.channels_last),
    'channels_last halves': lambda x: (
        torch.cat([x, x], 1).contiguous(memory_format=torch.channels_last).chunk(2, 1)[1]
    ),
}


def inputs(
    size: tuple[int, int],
    native: tuple[int, int],
    channels: int,
    batch: int,
    mask: str,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    layout: str = 'halves',
) -> dict[str, Tensor]:
    query = 2 * torch.randn(batch, channels, *size, device=device)
    wide = torch.promote_types(dtype, torch.float32)
    return dict(
        query=LAYOUTS[layout](query.to(dtype)),
        key=LAYOUTS[layout](torch.randn_like(query).to(dtype)),
        alpha=torch.randn(native, device=device, dtype=wide),
        mask=make_mask(mask, native[0] * native[1], channels).to(device),
        beta=torch.randn(native, device=device, dtype=wide),
    )


def run(
    attend: Callable, x: dict[str, Tensor], recurrent_mask: str, weights: Tensor
) -> dict[str, Tensor]:
    """The output and the gradients of its weighted sum."""
    x = x | {name: x[name].detach().requires_grad_() for name in LEARNED}
    out = attend(**x, recurrent_mask=recurrent_mask)
    grads = torch.autograd.grad((out * weights).sum(), [x[name] for name in LEARNED])
    return dict(zip(LEARNED, grads, strict=True)) | {'out': out.detach()}


def check(
    scan: Callable, x: dict[str, Tensor], recurrent_mask: str, tolerance: float = 1e-5
) -> dict[str, Tensor]:
    weights = torch.randn(x['query'].shape, device=x['query'].device)
    # the loop adds token by token: in float32 it would err by more than the scan
    exact = {name: value.double() if name in LEARNED else value for name, value in x.items()}
    if x['query'].dtype != torch.float32:  # rounded as the scan's output is
        exact = x
    expected = run(definition, exact, recurrent_mask, weights)
    actual = run(scan, x, recurrent_mask, weights)
    for name, value in expected.items():
        value = value.to(actual[name].dtype)
        torch.testing.assert_close(actual[name], value, rtol=tolerance, atol=tolerance)
    return actual
