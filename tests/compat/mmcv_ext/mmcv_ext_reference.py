"""What the tests of this folder share: slow, literal definitions in float64."""

import torch


def zero_padded(plane, y, x):
    """Bilinear value of plane (C, H, W) at (y, x), zero outside; differentiable in all three."""
    total = plane.new_zeros(len(plane))
    top, left = (int(torch.as_tensor(value).detach().floor()) for value in (y, x))
    # Not 1 - |y - row|: on a pixel, the derivative is the one towards the next pixel.
    for row, fraction_y in ((top, top + 1 - y), (top + 1, y - top)):
        for col, fraction_x in ((left, left + 1 - x), (left + 1, x - left)):
            if 0 <= row < plane.shape[1] and 0 <= col < plane.shape[2]:
                total = total + plane[:, row, col] * fraction_y * fraction_x
    return total


def edge_padded(plane, y, x):
    """As RoIAlign samples: up to one pixel outside the nearest edge counts, beyond it zero."""
    height, width = plane.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return plane.new_zeros(len(plane))
    return zero_padded(plane, min(max(y, 0), height - 1), min(max(x, 0), width - 1))


def leaves(device, dtype, *tensors):
    """Each tensor twice: in `dtype` on `device`, and its rounded values in float64; both leaves."""
    ours = [t.to(device, dtype).requires_grad_() for t in tensors]
    return ours, [t.detach().cpu().double().requires_grad_() for t in ours]


def assert_close(ours, reference, dtype=torch.float32):
    """Equal up to a few roundings of `dtype`, relative to the largest value."""
    ours, reference = ours.detach().cpu(), reference.detach()
    assert ours.dtype == dtype
    scale = float(reference.abs().max()) if reference.numel() else 1.0
    tolerance = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}[dtype]
    torch.testing.assert_close(ours.double(), reference, rtol=tolerance, atol=tolerance * scale)


def assert_same_gradients(output, reference, ours, references, dtype=torch.float32):
    """Compare output and, under one random gradient, the gradients of all leaves."""
    assert_close(output, reference, dtype)
    grad = torch.randn(reference.shape, dtype=torch.float64)
    grad = grad.to(dtype).double()
    output.backward(grad.to(output))
    reference.backward(grad)
    for mine, wanted in zip(ours, references, strict=True):
        assert_close(mine.grad, wanted.grad, dtype)
