"""Which implementation of VMI-SA a model runs. It is chosen once, when the model is built."""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from .verdict import kernels_are_right

# module and function of each; the modules of Triton are only imported when chosen
_OPS = {
    ('matrix', 'reference'): ('reference', 'separable_attention'),
    ('matrix', 'torch'): ('matrix_torch', 'separable_attention'),
    ('matrix', 'triton'): ('matrix_project_triton', 'separable_attention'),
    ('recurrent', 'reference'): ('recurrent_reference', 'recurrent_attention'),
    ('recurrent', 'torch'): ('recurrent_torch', 'recurrent_attention'),
    ('recurrent', 'triton'): ('recurrent_triton', 'recurrent_attention'),
}
FORMS = ('matrix', 'recurrent')
IMPLS = ('auto', 'torch', 'triton', 'reference')
# (form, 'eager' or 'compiled', dtype of query): what 'auto' takes on CUDA, by the measurement named
# beside the entry; torch where there is none. Nothing was measured yet (docs/benchmarks/gpu.md).
FASTEST: dict[tuple[str, str, torch.dtype], str] = {}


def choose_op(form: str, impl: str = 'auto') -> Callable:
    """The function that computes VMI-SA; all of a form have one signature and one result.

    Args:
        form: ``'matrix'`` or ``'recurrent'``, the two forms of the paper.
        impl: ``'reference'`` is the definition, ``'torch'`` computes the same in fewer passes over
            memory, ``'triton'`` in fused GPU kernels (and as ``'torch'`` on the CPU). ``'auto'``
            takes Triton on a GPU where :data:`FASTEST` says so and the kernels were found right,
            see :mod:`.verdict`; else torch.

    Raises:
        ValueError: If a name is unknown.
        ImportError: If Triton is asked for and not installed.
    """
    if form not in FORMS:
        raise ValueError(f'unknown form {form!r}; choose one of {", ".join(FORMS)}')
    if impl not in IMPLS:
        raise ValueError(f'unknown impl {impl!r}; choose one of {", ".join(IMPLS)}')
    if impl == 'auto':
        may_fuse = any(key[0] == form and best == 'triton' for key, best in FASTEST.items())
        if may_fuse and _has_triton() and torch.cuda.is_available() and kernels_are_right(form):
            return _by_input(form, _load(form, 'torch'), _load(form, 'triton'))
        impl = 'torch'
    if impl == 'triton' and not _has_triton():
        raise ImportError("impl='triton' needs the package triton; install it or use impl='torch'")
    return _load(form, impl)


def _has_triton() -> bool:
    return find_spec('triton') is not None


def _load(form: str, impl: str) -> Callable[..., Tensor]:
    """The function of an implementation."""
    module, function = _OPS[form, impl]
    return getattr(import_module(f'.{module}', __package__), function)


def _by_input(form: str, plain: Callable, fused: Callable) -> Callable:
    """The faster of two ops for each input, also in their passes (:mod:`.matrix_project`)."""
    op = partial(_dispatch, form, plain, fused)
    if hasattr(plain, 'passes'):
        pairs = zip(plain.passes, fused.passes, strict=True)
        op.passes = tuple(partial(_dispatch, form, *pair) for pair in pairs)
    return op


def _dispatch(form: str, plain: Callable, fused: Callable, x: Tensor, *args) -> object:
    """Choose between the plain and the fused form for an input."""
    mode = 'compiled' if torch.compiler.is_compiling() else 'eager'
    is_fused = x.is_cuda and FASTEST.get((form, mode, x.dtype)) == 'triton'
    return (fused if is_fused else plain)(x, *args)
