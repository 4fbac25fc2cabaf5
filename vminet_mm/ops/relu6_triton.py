"""ReLU6 for the Triton kernels of both forms."""

import triton
import triton.language as tl


@triton.jit
def relu6(x):
    """As torch's, of which NaN passes: so comparisons, and not min and max."""
    return tl.where(x < 0, 0.0, tl.where(x > 6, 6.0, x))


@triton.jit
def relu6_gradient(x, grad):
    """The gradient of x, which stops where ReLU6 cuts off."""
    return tl.where((x <= 0) | (x >= 6), 0.0, grad)
