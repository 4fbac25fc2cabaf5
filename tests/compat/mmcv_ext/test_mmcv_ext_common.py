"""What all operators share."""

import torch

from vminet_mm.compat.mmcv_ext.common import op, upcast


def test_operators_run_outside_autograd_and_autocast(device):
    """As compiled ones do, whoever calls them."""

    @op
    def product(a, *, b):
        return a @ b

    a = torch.randn(3, 3, device=device, requires_grad=True)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        assert (a @ a).dtype == torch.bfloat16
        result = product(a, b=a)
    assert result.dtype == torch.float32
    assert not result.requires_grad
    assert product.__name__ == 'product'


def test_upcast_finds_the_common_type(device):
    half, brain, double = (
        torch.ones(2, device=device, dtype=dtype)
        for dtype in (torch.float16, torch.bfloat16, torch.float64)
    )
    assert [t.dtype for t in upcast(half)] == [torch.float32]
    assert [t.dtype for t in upcast(half, brain)] == [torch.float32] * 2
    assert [t.dtype for t in upcast(brain, double)] == [torch.float64] * 2
