"""An architecture as `model.py`: a definition that stands alone, for a person to read and for a program to import.

It is written from the same constructors that `build_network` calls, so its weights have the same names; a ready model
is one call of timm. That it computes the same function is not assumed but checked, by `verify`.
"""

from collections.abc import Iterable
from importlib import metadata
from typing import Final

from ecoNAS.architecture import AnyArchitecture, Architecture, Problem, ReadyArchitecture
from ecoNAS.errors import ExportError
from ecoNAS.export.adapters import Target, copy_sources
from ecoNAS.models.baseline import ready_constructor
from ecoNAS.models.constructor import is_importable
from ecoNAS.models.plan import Part, plan_network
from ecoNAS.records import Costs

# Names that the template itself defines or imports.
_TAKEN: Final = ("Network", "Path", "build_model", "load_file", "nn", "torch")

_HEAD: Final = '''"""An image classifier found by ecoNAS.

{summary}
{costs}

    model = build_model("weights.safetensors")
    logits_bk = model(images_bchw)  # float32 ({image}) -> ({classes})

How images have to be normalised, what the network was trained on and how well it reads: README.md beside this file.
Nothing is needed but torch and timm; written with {versions}.
"""

{imports}
'''

_STAGED: Final = '''

{adapters}class Network(nn.Module):
    """Parts in a row; images ({image}) become class scores ({classes})."""

    def __init__(self) -> None:
        super().__init__()
{parts}

    def forward(self, x_bchw: torch.Tensor) -> torch.Tensor:
        """Return logits_bk, before any softmax."""
{calls}


def build_model(weights: str | Path | None = None) -> Network:
    """Return the network: with random weights in training mode, or with those of a file in evaluation mode."""
    network = Network()
    if weights is not None:
        from safetensors.torch import load_file  # timm depends on it

        network.load_state_dict(load_file(weights))
        network.eval()
    return network
'''

_READY: Final = '''

def build_model(weights: str | Path | None = None) -> nn.Module:
    """Return the network: with random weights in training mode, or with those of a file in evaluation mode."""
    network: nn.Module = {constructor}
    if weights is not None:
        from safetensors.torch import load_file  # timm depends on it

        network.load_state_dict(load_file(weights))
        network.eval()
    return network
'''


def render_definition(architecture: AnyArchitecture, problem: Problem, costs: Costs) -> str:
    """Return the text of `model.py`.

    Raises:
        ExportError: if a block needs what an export may not import, or two classes share a name.
    """
    if isinstance(architecture, ReadyArchitecture):
        imports, body = _ready_body(architecture, problem)
    else:
        imports, body = _staged_body(architecture, problem)
    head = _HEAD.format(
        summary=architecture.describe(),
        costs=f"{costs.params:,} parameters, {costs.macs:,} multiply-adds (MACs) per image",
        image=_image(problem),
        classes=f"B, {problem.num_classes}",
        versions=", ".join(f"{name} {metadata.version(name)}" for name in ("ecoNAS", "torch", "timm")),
        imports=_ordered({*imports, "from torch import nn", "from pathlib import Path"}),
    )
    return head + body


def _ready_body(architecture: ReadyArchitecture, problem: Problem) -> tuple[set[str], str]:
    """Return the imports and the rest of a file that makes a ready model."""
    constructor = ready_constructor(architecture.timm, problem)
    return set(constructor.imports()), _READY.format(constructor=constructor.source(indent=4))


def _staged_body(architecture: Architecture, problem: Problem) -> tuple[set[str], str]:
    """Return the imports and the rest of a file that makes stem, stages and head."""
    parts = plan_network(architecture, problem)
    targets = list(dict.fromkeys(target for part in parts for target in part.constructor.targets()))
    _check_names(targets)
    copies = copy_sources(target for target in targets if not is_importable(target))
    imports = {statement for part in parts for statement in part.constructor.imports()}
    return imports | copies.imports | {"import torch"}, _STAGED.format(
        image=_image(problem),
        classes=f"B, {problem.num_classes}",
        adapters="".join(f"{source}\n\n" for source in copies.sources.values()),
        parts="\n".join(_assignment(part) for part in parts),
        calls=_calls(parts),
    )


def _image(problem: Problem) -> str:
    return ", ".join(["B", *map(str, problem.input_shape(batch=1)[1:])])


def _assignment(part: Part) -> str:
    return f"        # {part.note}\n        self.{part.name} = {part.constructor.source(indent=8)}"


def _calls(parts: list[Part]) -> str:
    *first, last = parts
    lines = [f"        x_bchw = self.{part.name}(x_bchw)" for part in first]
    return "\n".join([*lines, f"        return self.{last.name}(x_bchw)"])


def _check_names(targets: Iterable[Target]) -> None:
    """Raise ExportError if a bare name in the source would mean two things."""
    named: dict[str, Target] = {}
    for target in targets:
        name = target.__name__
        if name in _TAKEN or named.setdefault(name, target) is not target:
            raise ExportError(f"a second class of the name {name} ({target.__module__}) cannot be exported; rename it")


def _ordered(statements: set[str]) -> str:
    """Return import statements in the usual order, one line a module: the standard library, then the rest."""
    plain = sorted(statement for statement in statements if not statement.startswith("from "))
    names: dict[str, set[str]] = {}
    for statement in statements.difference(plain):
        module, _, imported = statement.removeprefix("from ").partition(" import ")
        names.setdefault(module, set()).add(imported)
    lines = plain + [f"from {module} import {', '.join(sorted(found))}" for module, found in sorted(names.items())]
    others = [line for line in lines if line.split()[1].partition(".")[0] in ("timm", "torch")]
    standard = [line for line in lines if line not in others]
    return "\n".join([*standard, "", *others])
