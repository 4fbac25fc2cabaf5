"""``python -m vminet_mm.doctor``."""

from .command import main

if __name__ == '__main__':
    raise SystemExit(main())
