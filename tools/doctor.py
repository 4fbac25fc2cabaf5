"""Say what is installed, what is wrong and what fixes it: python tools/doctor.py [--config CONFIG]

No package need be installed for it to start, vminet_mm neither.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run the doctor; returns the exit code."""
    if sys.version_info < (3, 10):  # noqa: UP036  setup.py has not seen this interpreter
        print('problem: vminet_mm needs Python 3.10 to 3.13\n  -> make install PYTHON=python3.11')
        return 1
    installed = find_spec('vminet_mm') is not None
    if not installed:
        sys.path.insert(0, str(ROOT))
    try:
        from vminet_mm.doctor.command import main as diagnose
    except ValueError as error:  # VMINET_COMPAT names no piece
        print(f'problem: {error}\n  -> unset VMINET_COMPAT')
        return 1
    return diagnose(installed)


if __name__ == '__main__':
    raise SystemExit(main())
