"""What makes the published OpenMMLab packages usable on current PyTorch, NumPy and Python.

See README.md beside this file. ``VMINET_COMPAT`` in the environment switches pieces off.
"""

import os
import sys

from ..errors import ConfigError
from . import patching
from .import_hook import when_imported
from .pieces import PIECES, Piece

SWITCH = 'VMINET_COMPAT'


def activate() -> None:
    """Register every piece that is not switched off; calling it twice changes nothing.

    Raises:
        ConfigError: ``VMINET_COMPAT`` has an invalid value.
    """
    off = switched_off()
    for piece in PIECES:
        if piece.name not in off:
            for module in piece.modules:
                when_imported(module, piece.fix)


def switched_off() -> set[str]:
    """Names of the pieces that ``VMINET_COMPAT`` switches off: ``0`` all, ``-hue,-noise`` two.

    Raises:
        ConfigError: If ``VMINET_COMPAT`` has another form, or names an unknown piece.
    """
    known = [piece.name for piece in PIECES]
    value = os.environ.get(SWITCH, '').strip()
    if value in ('', '1'):
        return set()
    if value == '0':
        return set(known)
    names = [name.strip() for name in value.split(',')]
    wrong = [name for name in names if name[:1] != '-' or name[1:] not in known]
    if wrong:
        raise ConfigError(
            f'{SWITCH}={value}: {wrong[0]!r} is unknown. 0 switches all off, -NAME[,-NAME] those '
            f'pieces; their names are {", ".join(known)}'
        )
    return {name[1:] for name in names}


def describe() -> list[tuple[str, str, str]]:
    """List the pieces as ``(name, state, what it fixes)``.

    The state is ``'applied'``, ``'waiting for MODULE'``, ``'off'`` by ``VMINET_COMPAT``, or
    ``'not needed'``, where upstream works. Import the mm packages first to see the final states.
    """
    off = switched_off()
    return [
        (piece.name, 'off' if piece.name in off else _state(piece), piece.fixes) for piece in PIECES
    ]


def _state(piece: Piece) -> str:
    if patching.is_active(piece.name):
        return 'applied'
    awaited = [module for module in piece.modules if module not in sys.modules]
    return f'waiting for {awaited[0]}' if awaited else 'not needed'
