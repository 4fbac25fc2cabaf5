"""Warnings of upstream code that a user cannot avoid.

Filtered by message, and by module where the message alone could mean something else.
"""

import warnings
from types import ModuleType
from typing import Any

from .patching import mark_active, wrap

# Message (a regular expression for its beginning), category, module that is blamed.
_FILTERS = (
    (r'torch\.meshgrid: in an upcoming release', UserWarning, r'torch\.functional'),
    (r'torch\.utils\.checkpoint: the use_reentrant parameter', UserWarning, ''),
    (r'`torch\.cuda\.amp\.\w+\(args\.\.\.\)` is deprecated', FutureWarning, r'mm(engine|det|seg)'),
    (r'`broadcast_buffers` is deprecated', FutureWarning, r'mmengine\.model'),
    (r"'pin_memory' argument is set as true but no acc", UserWarning, r'torch\.utils\.data'),
    (r"__array__ implementation doesn't accept", DeprecationWarning, r'(pycocotools|mm\w+)\.'),
    (r'``build_loss`` would be deprecated soon', UserWarning, r'mmseg\.models'),
    (r'`reduce_zero_label` will be deprecated', UserWarning, r'mmseg\.datasets'),
    (r'The draw is False, it means that the hook', UserWarning, r'mmseg\.engine'),
    (r"Only use 'alpha' for pillow backend", UserWarning, r'mmcv\.image'),
)
# mmengine's own CheckpointHook asks for the deprecated FileClient; these are log lines.
_LOG_LINES = ('"FileClient" will be deprecated', '"HardDiskBackend" is the alias')


def fix(module: ModuleType) -> None:
    """Silence warnings that a user cannot act on."""
    if module.__name__ == 'torch':
        silence()
    else:
        wrap(module, 'print_log', _print_log, __name__)


def silence() -> None:
    """Add the filters of warnings."""
    for message, category, module in _FILTERS:
        warnings.filterwarnings('ignore', message, category, module)
    mark_active(__name__)


def _print_log(original: Any, message: Any, *args: Any, **kwargs: Any) -> None:
    """Print a line unless it is one of those that say nothing."""
    if not str(message).startswith(_LOG_LINES):
        original(message, *args, **kwargs)
