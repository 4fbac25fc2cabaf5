"""Which implementation of VMI-SA a model runs. It is chosen once, when the model is built."""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import torch

# module and function of each; the modules of Triton are only imported when chosen
_OPS = {
    ('matrix', 'reference'): ('reference', 'separable_attention'),
    ('matrix', 'torch'): ('matrix_torch', 'separable_attention'),
    ('matrix', 'triton'): ('matrix_triton', 'separable_attention'),
    ('recurrent', 'reference'): ('recurrent_reference', 'recurrent_attention'),
    ('recurrent', 'torch'): ('recurrent_torch', 'recurrent_attention'),
    ('recurrent', 'triton'): ('recurrent_triton', 'recurrent_attention'),
}
FORMS = ('matrix', 'recurrent')
IMPLS = ('auto', 'torch', 'triton', 'reference')


def choose_op(form: str, impl: str = 'auto') -> Callable:
    """The function that computes VMI-SA; all of a form have one signature and one result.

    Args:
        form: ``'matrix'`` or ``'recurrent'``, the two forms of the paper.
        impl: ``'reference'`` is the definition, ``'torch'`` computes the same in fewer passes over
            memory, ``'triton'`` in fused GPU kernels (and as ``'torch'`` on the CPU). ``'auto'``
            takes Triton where there are a GPU and Triton, else torch.

    Raises:
        ValueError: If a name is unknown.
        ImportError: If Triton is asked for and not installed.
    """
    if form not in FORMS:
        raise ValueError(f'unknown form {form!r}; choose one of {", ".join(FORMS)}')
    if impl not in IMPLS:
        raise ValueError(f'unknown impl {impl!r}; choose one of {", ".join(IMPLS)}')
    has_triton = find_spec('triton') is not None
    if impl == 'auto':
        impl = 'triton' if has_triton and torch.cuda.is_available() else 'torch'
    if impl == 'triton' and not has_triton:
        raise ImportError("impl='triton' needs the package triton; install it or use impl='torch'")
    module, function = _OPS[form, impl]
    return getattr(import_module(f'.{module}', __package__), function)
