"""Which implementation of the selective scan a model runs. It is chosen when the model is built."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import torch
from mmengine.logging import print_log
from torch import Tensor

from . import chunked_torch, reference

SCAN_IMPLS = ('auto', 'torch', 'mamba_ssm', 'reference')
# relative to the largest value; both compute in float32 and round to the dtype of the tokens, the
# gradient of the output, too
TOLERANCES = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 5e-2}


def choose_scan(impl: str = 'auto') -> Callable[..., Tensor]:
    """The function that computes the selective scan; all have one signature and one result.

    Args:
        impl: ``'reference'`` is the definition, ``'torch'`` computes the same without a loop over
            single tokens, ``'mamba_ssm'`` with the CUDA kernel of that package (and as ``'torch'``
            on the CPU). ``'auto'`` takes the kernel where there is a GPU, the package is installed
            and was found right; else torch.

    Raises:
        ValueError: If the name is unknown.
        ImportError: If the kernel is asked for and not installed.
    """
    if impl not in SCAN_IMPLS:
        raise ValueError(f'unknown impl {impl!r}; choose one of {", ".join(SCAN_IMPLS)}')
    if impl == 'auto':
        impl = 'mamba_ssm' if torch.cuda.is_available() and kernel_is_right() else 'torch'
    if impl == 'reference':
        return reference.selective_scan
    if impl == 'torch':
        return chunked_torch.selective_scan
    if not _has_kernel():
        raise ImportError(
            "impl='mamba_ssm' needs the package mamba-ssm; install it or use impl='torch'"
        )
    return kernel_scan


def kernel_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> Tensor:
    """As :func:`.reference.selective_scan`, on a GPU by the kernel of ``mamba_ssm``."""
    if not u.is_cuda or not len(u):  # it is not made for empty batches
        return chunked_torch.selective_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)
    reference.check_shapes(u, delta, A, B, C, D, delta_bias)
    kernel = import_module('mamba_ssm.ops.selective_scan_interface').selective_scan_fn
    # the kernel wants one dtype for what has tokens, and float32 for what has not
    tokens = [x.to(u.dtype).contiguous() for x in (u, delta, B, C)]
    A, D, delta_bias = (None if x is None else x.float() for x in (A, D, delta_bias))
    return kernel(*tokens[:2], A, *tokens[2:], D, None, delta_bias, delta_softplus)


def scan_name(scan: Callable[..., Tensor], device: str | torch.device = 'cuda') -> str:
    """What runs on a device: ``'torch'``, ``'mamba_ssm'`` or ``'reference'``.

    Args:
        scan: What :func:`choose_scan` has returned.
        device: Where the tokens are.
    """
    if scan is reference.selective_scan:
        return 'reference'
    has_kernel = scan is kernel_scan and torch.device(device).type == 'cuda'
    return 'mamba_ssm' if has_kernel else 'torch'


@cache
def kernel_is_right() -> bool:
    """Whether the kernel is installed and computes what torch computes on this GPU.

    It is compared once in a process: the output and all gradients. A line in the log says why a
    kernel that is installed is not used.
    """
    if not _has_kernel():
        return False
    try:
        wrong = _first_difference('cuda')
    except Exception as error:  # of an extension built for another torch, or of the driver
        wrong = f'it does not run: {type(error).__name__}: {" ".join(str(error).split())[:200]}'
    if wrong:
        print_log(f"impl='auto' takes torch, not mamba_ssm: {wrong}", 'current', level=30)
    return not wrong


def _has_kernel() -> bool:
    return find_spec('mamba_ssm') is not None


def _first_difference(device: str) -> str:
    """What of the kernel's results differs from torch's; empty if nothing does.

    The states are VMamba's and the others', and the dtypes those of training with and without
    autocast: the kernel has code of its own for each.
    """
    for dtype, tolerance in TOLERANCES.items():
        for states in (16, 1):
            inputs = _comparison_inputs(states, dtype, device)
            ours, theirs = (
                _results(scan, inputs) for scan in (chunked_torch.selective_scan, kernel_scan)
            )
            for name, expected in ours.items():
                error = (theirs[name].float() - expected.float()).abs().max()
                if not error <= tolerance * expected.float().abs().max():
                    what = f'its {name}' if name == 'output' else f'the gradient of {name}'
                    return f'{what} differs in {str(dtype).split(".")[1]} with {states} states'
    return ''


def _comparison_inputs(states: int, dtype: torch.dtype, device: str) -> dict[str, Tensor]:
    """Inputs of a scan of 8 channels in 2 groups; what has tokens in the given dtype."""
    generator, tokens = torch.Generator().manual_seed(0), (2, 8, 67)
    matrix = (2, 2, states, 67)
    sizes = dict(u=tokens, delta=tokens, A=(8, states), B=matrix, C=matrix, D=(8,), delta_bias=(8,))
    inputs = {name: torch.rand(size, generator=generator) for name, size in sizes.items()}
    inputs['A'] *= -16
    inputs |= {name: inputs[name].to(dtype) for name in ('u', 'delta', 'B', 'C')}
    return {name: x.to(device) for name, x in inputs.items()}


def _results(scan: Callable[..., Tensor], inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The output of a scan, and the gradients of the sum of its squares."""
    leaves = {name: x.detach().requires_grad_() for name, x in inputs.items()}
    with torch.enable_grad(), torch.autocast(inputs['u'].device.type, enabled=False):
        y = scan(**leaves, delta_softplus=True)
        grads = torch.autograd.grad(y.float().square().sum(), list(leaves.values()))
    return {'output': y.detach()} | dict(zip(leaves, grads, strict=True))
