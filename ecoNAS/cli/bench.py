"""`econas bench SPEC`: judge samplers on a table of results, where looking up takes the place of training."""

import argparse
import json
import math
import sys
from typing import TYPE_CHECKING, Any

from ecoNAS.errors import EcoNASError, unknown_name

if TYPE_CHECKING:
    from ecoNAS.benchmark.compare import Search


def add_parser(commands: "argparse._SubParsersAction[Any]") -> None:  # argparse has no public name for it
    """Add the command to the parser."""
    parser = commands.add_parser("bench", help="compare samplers on a table of results, without training")
    parser.add_argument(
        "spec", metavar="SPEC", help="YAML that says what the columns of a table mean, or synthetic:NAME[:SEED]"
    )
    parser.add_argument("--sampler", default="auto,random", metavar="NAME[,NAME]", help="default: auto,random")
    parser.add_argument(
        "--budget", type=float, default=100.0, metavar="N", help="cost of a search in full trainings; default 100"
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="K", help="searches per sampler; default 5")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="W", help="trainings under way at once, on a virtual clock; default 1"
    )
    parser.add_argument(
        "--fidelities", action="store_true", help="pause trainings at the table's fidelities; the best go on"
    )
    parser.add_argument(
        "--factor", type=float, default=8.0, metavar="F", help="one in so many goes on from a fidelity; default 8"
    )
    parser.add_argument(
        "--spread", default="crowding", metavar="RULE", help="among equals at a fidelity: crowding or epsilon_net"
    )
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="searches at a time, one thread each; default: one a core"
    )
    parser.add_argument("--json", action="store_true", help="print every reading as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Search the table with every sampler and seed, and print how they compare; return 0."""
    if not (math.isfinite(arguments.budget) and arguments.budget >= 1):
        raise EcoNASError(f"--budget {arguments.budget:g}: must be at least 1, the cost of one full training")
    for name in ("seeds", "workers", "jobs"):
        number = getattr(arguments, name)
        if number is not None and number < 1:
            raise EcoNASError(f"--{name} {number}: must be at least 1")
    if not arguments.factor > 1:
        raise EcoNASError(f"--factor {arguments.factor:g}: must be above 1, or nobody is left behind")
    names = list(dict.fromkeys(name.strip() for name in arguments.sampler.split(",")))

    from ecoNAS.benchmark.compare import as_json, compare
    from ecoNAS.benchmark.lookup import Way
    from ecoNAS.benchmark.rivals import rival
    from ecoNAS.benchmark.synthetic import is_synthetic, read_synthetic
    from ecoNAS.config import available_cpus
    from ecoNAS.evaluation.tabular import read_table
    from ecoNAS.search.halving import SPREADS

    if arguments.spread not in SPREADS:
        raise EcoNASError(unknown_name("spread rule", arguments.spread, SPREADS))
    for name in names:
        rival(name)
    spec = arguments.spec
    table = read_synthetic(spec) if is_synthetic(spec) else read_table(spec)
    if arguments.fidelities and not table.rungs:
        raise EcoNASError(f"{spec} has no fidelities, so there is nothing to pause at; leave --fidelities out")
    way = Way(arguments.budget, arguments.workers, arguments.fidelities, arguments.factor, arguments.spread)
    total, done = len(names) * arguments.seeds, 0
    jobs = min(arguments.jobs or available_cpus(), total)

    def say(search: "Search") -> None:
        nonlocal done
        done += 1
        last = search.readings[-1]
        seconds = search.trace.proposal_s
        print(
            f"[{done}/{total}] {search.sampler}, seed {search.seed}: {last.hv_frac:.4f} of the true hypervolume for "
            f"{last.cost:g} trainings, {seconds:.2g} s a proposal",
            file=sys.stderr,
        )

    found = compare(
        table,
        names,
        arguments.seeds,
        way,
        processes=jobs,
        on_search=say,
    )
    if arguments.json:
        print(json.dumps(as_json(spec, found), indent=1))
    else:
        from rich.console import Console

        from ecoNAS.benchmark.view import bench_view

        Console(highlight=False).print(bench_view(spec, found))
    return 0
