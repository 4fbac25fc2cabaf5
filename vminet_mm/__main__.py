"""``python -m vminet_mm COMMAND``."""

from .cli import main

if __name__ == '__main__':
    main()
