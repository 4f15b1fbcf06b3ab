"""What a user names by a dotted path, `package.module:name`: imported, or refused in one line."""

import importlib

from ecoNAS.errors import EcoNASError


def is_dotted(name: str) -> bool:
    """Return whether a name is a path to something of the user's own."""
    return ":" in name


def import_named(path: str, what: str, error: type[EcoNASError]) -> object:
    """Import what a dotted path names.

    Args:
        path: Such as `my_package.blocks:ghost`.
        what: For people: `block`, `data set`.
        error: Raised where it cannot be had.
    """
    module_name, _, name = path.partition(":")
    try:
        found: object = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as failure:
        raise error(
            f"{what} '{path}' cannot be imported: {failure}; write package.module:name, and install the package or put "
            "its folder on PYTHONPATH, here and wherever workers run"
        ) from None
    except Exception as failure:  # a user's module may raise anything while it is imported
        reason = (str(failure).splitlines() or [""])[0]
        raise error(f"{what} '{path}' cannot be imported: {type(failure).__name__}: {reason}; mend it") from None
    return found
