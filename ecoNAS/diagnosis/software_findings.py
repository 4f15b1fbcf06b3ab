"""Whether Python and the packages are those that ecoNAS asks for, and whether its ONNX extra is there.

What is asked for is read from the metadata of the installation. Only the standard library is imported: packages are
looked up, never loaded, since a missing one is what this is for.
"""

import operator
import platform
import re
import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Final

from ecoNAS.diagnosis.finding import Finding, Group

GROUP: Final[Group] = "python & packages"
DISTRIBUTION: Final = "econas"
# Each may come as one of several distributions.
ONNX: Final = (("onnxruntime", "onnxruntime-gpu"), ("onnx",), ("onnxscript",))
Release = tuple[int, ...]
_COMPARE: Final[dict[str, Callable[[Release, Release], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}


def software_findings() -> list[Finding]:
    """Return what is known of Python, of every package that is not as asked for, and of the ONNX extra."""
    try:
        about = metadata.metadata(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        remedy = "pip install -e . in the folder that holds pyproject.toml"
        return [Finding(GROUP, "econas", "missing", "it is not installed, so what it needs is not known", remedy)]
    return [
        _python(about["Requires-Python"] or ""),
        *_packages(about.get_all("Requires-Dist") or []),
        _onnx(),
    ]


def fits(version: str, wanted: str) -> bool:
    """Return whether a version is within bounds such as '<3,>=2.6', by its release numbers alone (PEP 440)."""
    for bound in filter(None, wanted.split(",")):
        match = re.fullmatch(r"\s*([<>=!]=?)\s*([\d.]+)\s*", bound)
        if match is None or match[1] not in _COMPARE:  # a kind of bound that ecoNAS does not use
            continue
        if not _COMPARE[match[1]](_release(version), _release(match[2])):
            return False
    return True


def _release(version: str) -> Release:
    """Return the release numbers without zeros at the end: '2.6.0+cu124' gives (2, 6)."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _python(wanted: str) -> Finding:
    version = platform.python_version()
    if fits(version, wanted):
        return Finding(GROUP, "Python", "ok", f"{version} ({sys.executable})")
    remedy = f"make a virtual environment with Python {wanted} and install ecoNAS there"
    return Finding(GROUP, "Python", "missing", f"{version} is here, ecoNAS needs {wanted}", remedy)


def _packages(requirements: Iterable[str]) -> list[Finding]:
    """Return one finding for all packages that are as asked for, and one for each that is not."""
    good, bad = list[str](), list[Finding]()
    for requirement in requirements:
        wanted, _, marker = (part.strip() for part in requirement.partition(";"))
        match = re.match(r"([\w.-]+?)(?:\[.*\])?\s*\(?([<>=!~].*?)?\)?$", wanted)
        if match is None or "extra ==" in marker:
            continue
        name, bounds = match[1], match[2] or ""
        version = _version(name)
        if version is not None and fits(version, bounds):
            good.append(f"{name} {version}")
            continue
        text = "not installed" if version is None else f"{version} is installed, ecoNAS needs {bounds}"
        bad.append(Finding(GROUP, name, "missing", text, f"pip install '{name}{bounds}'"))
    return [Finding(GROUP, "packages", "ok", f"as asked for: {', '.join(good) or 'none'}"), *bad]


def _onnx() -> Finding:
    versions = [next(filter(None, map(_named, names)), None) for names in ONNX]
    absent = [names[0] for names, version in zip(ONNX, versions, strict=True) if version is None]
    if not absent:
        return Finding(GROUP, "ONNX Runtime", "ok", ", ".join(version for version in versions if version))
    text = f"optional, and not complete: no {', '.join(absent)}. Only 'runtime: onnxruntime' and ONNX files need it"
    return Finding(GROUP, "ONNX Runtime", "missing", text, "pip install 'econas[onnx]'")


def _named(name: str) -> str | None:
    version = _version(name)
    return None if version is None else f"{name} {version}"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
