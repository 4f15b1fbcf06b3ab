"""What the command's exit codes mean; 0 is success, as everywhere."""

from typing import Final

NOT_EVALUATED: Final = 1  # a network was refused, or could not be trained
MISTAKE: Final = 2  # of the user; one line on standard error says which
INTERRUPTED: Final = 130  # by Ctrl-C or SIGTERM, as shells report it
