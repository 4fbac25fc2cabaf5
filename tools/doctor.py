"""Say what is installed, what is wrong and what fixes it: python tools/doctor.py [--config CONFIG]

No package need be installed for it to start, vminet_mm neither.
"""

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / 'vminet_mm/__init__.py'


def main() -> int:
    """Run the doctor; returns the exit code."""
    if sys.version_info < (3, 10):  # noqa: UP036  setup.py has not seen this interpreter
        print('problem: vminet_mm needs Python 3.10 to 3.13\n  -> make install PYTHON=python3.11')
        return 1
    installed = find_spec('vminet_mm') is not None
    # the package without the imports in its __init__, which may fail
    sys.modules.setdefault(
        'vminet_mm', module_from_spec(spec_from_file_location('vminet_mm', PACKAGE))
    )
    from vminet_mm.doctor.command import main as diagnose

    return diagnose(installed)


if __name__ == '__main__':
    raise SystemExit(main())
