"""`python -m ecoNAS` is the command `econas`."""

import sys

from ecoNAS.cli import main

if __name__ == "__main__":
    sys.exit(main())
