"""What all operators share: the arithmetic's type, and running outside autograd and autocast."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def op(func: Callable[..., Any]) -> Callable[..., Any]:
    """Run `func`, whose first argument is a tensor, like a compiled operator.

    Compiled operators know neither autograd nor autocast: mmcv's autograd functions call them for
    the numbers of forward and backward.
    """

    @functools.wraps(func)
    def run(*args: Any, **kwargs: Any) -> Any:
        """Call the operator without gradients and autocast."""
        with torch.no_grad(), torch.autocast(args[0].device.type, enabled=False):
            return func(*args, **kwargs)

    return run


def upcast(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors in one common type, at least float32.

    torchvision's CPU kernels take neither half nor bfloat16, its kernels for the GPU no bfloat16,
    and coordinates in either would move the sampling points by whole pixels.
    """
    dtypes = (tensor.dtype for tensor in tensors)
    dtype = functools.reduce(torch.promote_types, dtypes, torch.float32)
    return tuple(tensor.to(dtype) for tensor in tensors)
