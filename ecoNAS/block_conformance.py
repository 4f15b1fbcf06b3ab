"""What every kind of block has to keep, as one function: the test suite calls it for ours, the first use for a user's.

Each check is a function with a name that a message can say. What a block computes is nobody's business here; that it
keeps shapes, learns, remembers what it learnt, can be counted, fused and written down is.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import product
from typing import Any, Final

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ecoNAS.architecture import AnyArchitecture, Architecture, HeadSpec, Problem, StageSpec, StemSpec
from ecoNAS.block_kinds import is_users, parse_block
from ecoNAS.block_specs import BlockSpec
from ecoNAS.costs.counts import CostTable, count_network
from ecoNAS.errors import BlockError, EcoNASError
from ecoNAS.models.conv_blocks import strided
from ecoNAS.models.dry_run import dry_run
from ecoNAS.models.fused import RELATIVE_TOLERANCE, fused
from ecoNAS.models.network import build_network
from ecoNAS.models.registry import block
from ecoNAS.space.choices import ReadySpaceFile, SpaceFile

# From narrow to wide, the same, from wide to narrow; widths that timm's rounding to multiples of 8 would change.
WIDTHS: Final = ((8, 8), (8, 20), (33, 12))
SIZES: Final = (1, 2, 3, 7, 8)  # in positions: one, even, odd
BATCH: Final = 4

Place = tuple[BlockSpec, int, int, int, int]  # what a block function takes: spec, in_width, out_width, stride, in_size
Check = Callable[[Place], str]


def check_block(spec: BlockSpec, widths: Iterable[tuple[int, int]] = WIDTHS) -> None:
    """Build blocks of one spec at strides 1 and 2 and several sizes, and hold them against every check.

    Shapes are looked at everywhere, the rest at the first pair of widths with stride 1 and at the last with stride 2.

    Args:
        spec: One choice of everything that the kind decides.
        widths: Pairs of width that enters and width that leaves; those that the spec refuses are passed over.

    Raises:
        BlockError: in one line: which check fails, where, what was found and how to mend it.
        ArchitectureError: if the spec refuses every width.
    """
    pairs = [pair for pair in dict.fromkeys(widths) if _takes(spec, pair[1])]
    if not pairs:
        spec.check(next(iter(widths))[1])
    with torch.random.fork_rng(devices=[]):
        for (in_width, out_width), stride, in_size in product(pairs, (1, 2), SIZES):
            _check_place((spec, in_width, out_width, stride, in_size), {"shape": _shape})
        for (in_width, out_width), stride in ((pairs[0], 1), (pairs[-1], 2)):
            _check_place((spec, in_width, out_width, stride, SIZES[-1]), CHECKS)


def check_space(space: SpaceFile | ReadySpaceFile) -> None:
    """Check every kind of a space that is a user's own, with its first and its last choices, once in a process.

    Raises:
        BlockError: as `check_block`.
    """
    if isinstance(space, ReadySpaceFile):
        return
    before = space.stem.width[0]
    for stage in space.stages:
        widths = ((stage.width[0], stage.width[0]), (before, stage.width[-1]))
        for kind, choices in stage.block.items():
            for place in (0, -1):
                if is_users(kind):
                    spec = parse_block({"kind": kind, **{name: values[place] for name, values in choices.items()}})
                    _check_once(spec, widths)
        before = stage.width[0]


def check_architecture(architecture: AnyArchitecture) -> None:
    """Check every block of an architecture that is a user's own, once in a process; ready models have none.

    Raises:
        BlockError: as `check_block`.
    """
    if not isinstance(architecture, Architecture):
        return
    before = architecture.stem.width
    for stage in architecture.stages:
        if is_users(stage.block.kind):
            _check_once(stage.block, ((stage.width, stage.width), (before, stage.width)))
        before = stage.width


@cache
def _check_once(spec: BlockSpec, widths: tuple[tuple[Any, Any], ...]) -> None:  # Any: choices of YAML, checked
    check_block(spec, widths)


def _takes(spec: BlockSpec, width: int) -> bool:
    try:
        spec.check(width)
    except EcoNASError:
        return False
    return True


def _check_place(place: Place, checks: Mapping[str, Check]) -> None:
    spec, in_width, out_width, stride, in_size = place
    for name, check in checks.items():
        torch.manual_seed(0)
        where = f"width {in_width} to {out_width}, stride {stride}, {in_size}x{in_size} positions"
        try:
            complaint = check(place)
        except BlockError:
            raise
        except Exception as error:  # a user's block may raise anything
            reason = (str(error).strip().splitlines() or [""])[0][:200]
            complaint = f"it raised {type(error).__name__}: {reason}"
        if complaint:
            raise BlockError(f"block '{spec.kind}' fails the check '{name}' at {where}: {complaint}")


def _built(place: Place) -> nn.Module:
    return block(*place).build()


def _images(place: Place) -> torch.Tensor:
    _, in_width, _, _, in_size = place
    return torch.randn(BATCH, in_width, in_size, in_size)


def _shape(place: Place) -> str:
    _, _, out_width, stride, in_size = place
    module, size = _built(place), strided(in_size, stride)
    with dry_run(module):
        found, wanted = tuple(module(_images(place)).shape), (BATCH, out_width, size, size)
    if found == wanted:
        return ""
    return f"it makes {found}, not {wanted}; the module itself or a convolution in front must change width and stride"


def _repeats(place: Place) -> str:
    first, second = block(*place), block(*place)
    if first == second and hash(first) == hash(second):
        return ""
    return "two calls of the function give different constructors; use plain arguments: numbers, text, tuples, classes"


def _learns(place: Place) -> str:
    module, x_bchw = _built(place).train(), _images(place).requires_grad_()
    module(x_bchw).square().mean().backward()
    grads = {name: parameter.grad for name, parameter in module.named_parameters() if parameter.requires_grad}
    for name, grad in [*grads.items(), ("its input", x_bchw.grad)]:
        if grad is None:
            return f"{name} gets no gradient; use it in forward and do not detach it, or drop it"
        if not grad.isfinite().all():
            return f"the gradient of {name} is not finite; divide by nothing that may be 0"
    if x_bchw.grad is not None and not x_bchw.grad.any():
        return "the gradient of its input is 0, so that nothing before it learns; add a skip or start scales above 0"
    return ""


def _remembers(place: Place) -> str:
    """Train two steps, then compare with a new module that takes over the weights: nothing else may be remembered."""
    trained, x_bchw = _built(place).train(), _images(place)
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        trained(x_bchw).square().mean().backward()
        optimizer.step()
    copy = _built(place)
    copy.load_state_dict(trained.state_dict())
    with dry_run(trained), dry_run(copy):
        expected, found, alone = trained(x_bchw), copy(x_bchw), trained(x_bchw[:1])
    if not torch.allclose(expected, found, rtol=1e-4, atol=1e-5):
        return "with the weights of a trained one it computes something else; keep all state in parameters or buffers"
    if not torch.allclose(expected[:1], alone, rtol=1e-4, atol=1e-5):
        return "in evaluation mode an image alone gives another output than in a batch; let no image see the others"
    return ""


def _counts(place: Place) -> str:
    module = _built(place)
    _, in_width, _, _, in_size = place
    macs = count_network(module, Problem(input_channels=in_width, resolution=in_size, num_classes=2)).macs
    # Attention as plain matrix products: torch has had fused kernels that its own counter did not know.
    with dry_run(module), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(_images(place)[:1])
    if macs == counter.get_total_flops() / 2:
        return ""
    return (
        f"fvcore counts {macs:,} multiply-adds and torch {counter.get_total_flops() / 2:,.0f}; use operators that both "
        "know, such as conv2d, linear, matmul and scaled_dot_product_attention"
    )


def _fuses(place: Place) -> str:
    module, x_bchw = _built(place).train(), _images(place)
    for _ in range(2):
        module(x_bchw * 2 + 1)  # so that the statistics of batch norm are no longer 0 and 1
    deployed = fused(module)
    with dry_run(module), dry_run(deployed):
        expected, found = module(x_bchw), deployed(x_bchw)
    difference = float((expected - found).abs().max() / expected.abs().max().clamp_min(1e-12))
    if difference <= RELATIVE_TOLERANCE:
        return ""
    return f"its fused form differs by {difference:.1e} of the largest output; mend its reparameterize() or fuse()"


def _round_trips(place: Place) -> str:
    """Compare an architecture with what comes back from its JSON: identity, and every weight's shape."""
    spec, in_width, out_width, stride, in_size = place
    stage = StageSpec(width=out_width, depth=2, stride=1 if stride == 1 else 2, block=spec)
    architecture = Architecture(stem=StemSpec(width=in_width), stages=(stage,), head=HeadSpec())
    back = Architecture.from_json(architecture.to_json())
    if back != architecture or back.digest != architecture.digest:
        return "its spec does not come back from JSON as it was; let choices be numbers, text or tuples of them"
    problem = Problem(input_channels=3, resolution=in_size, num_classes=2)
    first, second = build_network(architecture, problem), build_network(back, problem)
    if _weight_shapes(first) != _weight_shapes(second):
        return "two networks of one digest have weights of different shapes; let the spec decide everything"
    if CostTable(problem).costs(architecture) != count_network(first, problem):
        return "what its parts cost does not add up to the whole; let its module depend on the arguments alone"
    return ""


def _weight_shapes(network: nn.Module) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in network.state_dict().items()}


CHECKS: Final[dict[str, Check]] = {
    "constructor": _repeats,
    "gradients": _learns,
    "state": _remembers,
    "count": _counts,
    "fused": _fuses,
    "json": _round_trips,
}
