"""`econas space FILE`: what a search space allows, before an experiment is written."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecoNAS.analysis.space_survey import Survey
    from ecoNAS.architecture import Candidate
    from ecoNAS.records import Costs


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:  # argparse has no public name for it
    """Add the command to the parser."""
    parser = commands.add_parser("space", help="tell what a search space allows, and draw samples of it")
    parser.add_argument("space", type=Path, metavar="FILE", help="search space file")
    parser.add_argument("--resolution", type=int, metavar="N", help="of the images, in pixels (32, or the nearest)")
    parser.add_argument("--channels", type=int, default=3, metavar="C", help="of the images (3)")
    parser.add_argument("--classes", type=int, default=10, metavar="K", help="to tell apart (10)")
    parser.add_argument(
        "--where", action="append", default=[], metavar="BOUND", help="a bound such as 'macs <= 6M'; may be repeated"
    )
    parser.add_argument("--draws", type=int, default=200, metavar="N", help="random candidates behind shares (200)")
    parser.add_argument("--samples", type=int, default=3, metavar="K", help="how many are drawn stage by stage (3)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of what is random (0)")
    parser.add_argument("--svg", type=Path, metavar="DIR", help="write the samples there as sample-1.svg and so on")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Look at a space and print what it allows; return 0.

    Raises:
        EcoNASError: for a number that makes no sense, a bound that nothing meets, or a folder that cannot be written.
    """
    from ecoNAS.errors import ArchitectureError, ConfigError, EcoNASError
    from ecoNAS.space.search_space import SearchSpace

    for name, least in (("draws", 1), ("samples", 0), ("seed", 0)):
        if getattr(arguments, name) < least:
            raise EcoNASError(f"--{name} {getattr(arguments, name)}: give {least} or more")
    space = SearchSpace.from_yaml(arguments.space)

    from ecoNAS.analysis.space_survey import problem_for, read_bounds, survey
    from ecoNAS.block_conformance import check_space

    problem = problem_for(space, arguments.resolution, arguments.channels, arguments.classes)
    bounds = read_bounds(arguments.where)
    try:
        check_space(space.file)
    except ArchitectureError as error:
        raise ConfigError(f"{arguments.space}: {error}") from None
    found = survey(
        space,
        problem,
        bounds,
        num_draws=arguments.draws,
        num_samples=arguments.samples,
        seed=arguments.seed,
    )
    written = _write(found, arguments.svg) if arguments.svg is not None else []
    if arguments.json:
        print(json.dumps(_as_json(found, arguments.where, written), indent=1))
    else:
        _print(found, arguments.where, written)
    return 0


def _print(found: "Survey", bounds: list[str], written: list[Path]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, soft_wrap=True)
    problem = found.problem
    size = f"{problem.resolution} x {problem.resolution} pixels"
    classes = f"{problem.input_channels} channels, {problem.num_classes} classes"
    console.print(f"{found.name}, for images of {size}, {classes}", style="bold", markup=False)
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    for name, text in _facts(found, bounds):
        facts.add_row(name, text)
    console.print(facts, soft_wrap=False, width=min(console.width, 80))
    console.print(_costs_table(found), soft_wrap=False, width=min(console.width, 80))
    for number, (candidate, costs) in enumerate(found.samples, start=1):
        console.print(f"\nsample {number}: {_costs_line(costs)}", markup=False)
        console.print(_drawing(found, candidate), markup=False)
    for path in written:
        console.print(f"wrote {path}", markup=False)


def _facts(found: "Survey", bounds: list[str]) -> list[tuple[str, str]]:
    passing = found.passing
    networks = f"{found.num_networks:.3g}; rules and equal networks make it fewer"
    if not found.stages[1]:
        networks = f"{found.num_networks} ready ones"
    rows = [
        ("networks", networks),
        ("decisions", f"{found.num_decisions} with more than one choice"),
    ]
    if found.stages[1]:
        rows.append(("depth", f"{_span(found.blocks)} blocks in {_span(found.stages)} stages"))
    for name, number in (("recipes", found.num_recipes), ("deployments", found.num_deployments)):
        if number > 1:
            rows.insert(1, (name, f"{number} of each network"))
    what = "keep the rules" + (f" and {', '.join(bounds)}" if bounds else "")
    share = f"{passing.value:.1%} of {found.num_draws} random candidates {what}"
    rows.append(("pass", f"{share} (95 % interval {passing.low:.1%} to {passing.high:.1%})"))
    if bounds and not found.samples:
        rows.append(("", "the bounds can be met, by extreme choices; no random candidate did"))
    return rows


def _costs_table(found: "Survey") -> Any:  # rich's table, which is imported where it is needed
    from rich.table import Table

    from ecoNAS.analysis.quantities import format_quantity

    table = Table(
        box=None,
        padding=(0, 2, 0, 0),
        caption="Cheapest and dearest: found by extreme choices, one decision at a time; nothing proves that there are "
        f"no others. Quarters and median: estimates from {found.num_valid} random candidates. "
        "Per image; memory in fp32.",
        caption_justify="left",
    )
    table.add_column("", style="bold", no_wrap=True)
    for name in ("cheapest", "a quarter <=", "median", "3 quarters <=", "dearest"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, values in found.ranges.items():
        unit = "B" if name == "activation_memory" else ""
        cells = (values.cheapest, *values.quartiles, values.dearest)
        label = "activations" if name == "activation_memory" else name
        table.add_row(label, *(format_quantity(value, unit) for value in cells))
    return table


def _drawing(found: "Survey", candidate: "Candidate") -> str:
    from ecoNAS.analysis.drawing import draw
    from ecoNAS.analysis.quantities import describe_deployment, describe_recipe

    how, trained = candidate.deployment, describe_recipe(candidate.recipe)
    drawing = draw(candidate.architecture, found.problem.at(how.resolution))
    if found.num_deployments > 1:
        drawing += f"\n{describe_deployment(how, found.problem.resolution)}"
    return f"{drawing}\n{trained}" if trained else drawing


def _write(found: "Survey", folder: Path) -> list[Path]:
    """Write the samples as SVG files and return where they are."""
    from ecoNAS.analysis.svg import draw_svg
    from ecoNAS.errors import EcoNASError

    paths = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, (candidate, costs) in enumerate(found.samples, start=1):
            problem = found.problem.at(candidate.deployment.resolution)
            path = folder / f"sample-{number}.svg"
            path.write_text(draw_svg(candidate.architecture, problem, _costs_line(costs)), encoding="utf-8")
            paths.append(path)
    except OSError as error:
        raise EcoNASError(f"--svg {folder}: cannot be written: {error.strerror or error}") from None
    return paths


def _as_json(found: "Survey", bounds: list[str], written: list[Path]) -> dict[str, Any]:  # Any: JSON
    from dataclasses import asdict

    counts = ("num_networks", "num_deployments", "num_recipes", "num_decisions", "blocks", "stages")
    values = {name: getattr(found, name) for name in ("name", *counts, "num_draws", "num_valid")}
    samples = [
        {"candidate": candidate.model_dump(mode="json"), "costs": costs.model_dump()}
        for candidate, costs in found.samples
    ]
    return {
        **values,
        "problem": found.problem.model_dump(mode="json"),
        "bounds": bounds,
        "passing": asdict(found.passing),
        "ranges": {name: asdict(values) for name, values in found.ranges.items()},
        "samples": samples,
        "svg": [str(path) for path in written],
    }


def _costs_line(costs: "Costs") -> str:
    from ecoNAS.analysis.quantities import format_quantity

    params, macs = format_quantity(costs.params), format_quantity(costs.macs)
    return f"{params} parameters, {macs} MACs, {format_quantity(costs.activation_memory_bytes, 'B')} of activations"


def _span(bounds: tuple[int, int]) -> str:
    return f"{bounds[0]} to {bounds[1]}" if bounds[0] != bounds[1] else f"{bounds[0]}"
