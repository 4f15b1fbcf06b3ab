"""The command `econas`: one module a command, each with `add_parser` and `run`.

A user's mistake ends with exit code 2 and one line on standard error; a search that was interrupted with 130. Heavy
imports belong inside `run`, so that `econas --help` starts at once.
"""

import argparse
import io
import logging
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from ecoNAS.cli import (
    bench,
    calibrate,
    compare,
    doctor,
    evaluate,
    exit_codes,
    export,
    front,
    import_records,
    measure,
    plan,
    refit,
    report,
    search,
    show,
    space,
)
from ecoNAS.errors import EcoNASError

COMMANDS = (
    space,
    plan,
    search,
    evaluate,
    front,
    show,
    refit,
    compare,
    report,
    export,
    measure,
    import_records,
    calibrate,
    bench,
    doctor,
)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        self.exit(exit_codes.MISTAKE, f"{self.prog}: {message}; see '{self.prog} --help'\n")


class _Version(argparse.Action):
    """Prints the version; asks for it only then, since that is slow."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from ecoNAS import __version__

        print(f"econas {__version__}")
        parser.exit()


def command() -> int:
    """Run one command as a program; what libraries tidy up after it cannot be interrupted, as nothing is lost then."""
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without '±' shows '?' and no traceback
    arguments = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO if arguments.verbose else logging.ERROR, format="%(levelname)s %(name)s: %(message)s"
    )
    if not sys.warnoptions and not arguments.verbose:
        warnings.simplefilter("ignore")  # of the libraries; ours are errors or log lines
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except EcoNASError as error:
        print(f"econas: {error}", file=sys.stderr)
        return exit_codes.MISTAKE
    except KeyboardInterrupt:
        print("econas: interrupted", file=sys.stderr)
        return exit_codes.INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="econas", description="Energy-aware neural architecture search.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    parser.add_argument("-v", "--verbose", action="store_true", help="log what happens, and show warnings")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    for module in COMMANDS:
        module.add_parser(commands)
    return parser
