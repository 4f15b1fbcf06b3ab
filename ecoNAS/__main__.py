"""`python -m ecoNAS` is the command `econas`."""

import sys

from ecoNAS.cli import command

if __name__ == "__main__":
    sys.exit(command())
