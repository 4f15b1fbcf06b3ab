"""How long does `auto` take to propose, and how much memory, after 200 and 2,000 evaluations?

On synthetic tables: one that is looked at whole and one that is too large for that. Prints seconds of the first
proposal after a result (models are fitted and the pool is judged), of each further one before the next result (which is
what many workers ask for), and the mean of 16 workers that ask at once.

    python experiments/benchmarks/proposals.py
"""

import argparse
import resource
import time
from statistics import fmean

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial

from ecoNAS.benchmark.lookup import Charge, reference_of
from ecoNAS.benchmark.synthetic import Landscape, make_synthetic
from ecoNAS.costs.screen import Screening
from ecoNAS.evaluation.tabular import Table, TableSpace
from ecoNAS.search.beliefs import Target
from ecoNAS.search.gauges import Measuring
from ecoNAS.search.samplers import CandidateSampler, SamplerContext, cost_aware

TABLES = {
    "15,625 candidates, looked at whole": Landscape(choices=(5,) * 6),
    "120,000 candidates, drawn from": Landscape(choices=(5,) * 10, rows=120_000),
}
NUM_WORKERS = 16
NUM_ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, nargs="+", default=[200, 2000])
    arguments = parser.parse_args()
    print(f"{'table':36} {'evaluated':>9} {'after a result':>15} {'further':>9} {'16 at once':>11} {'peak memory':>12}")
    for title, landscape in TABLES.items():
        table = make_synthetic(landscape, 0)
        for count in arguments.evaluations:
            first_s, further_s, many_s = times(table, count)
            peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"{title:36} {count:9} {first_s:13.2f} s {further_s:7.3f} s {many_s:9.3f} s {peak_mib:8.0f} MiB")


def times(table: Table, count: int) -> tuple[float, float, float]:
    """Return seconds of a proposal after a result, of further ones, and of one of 16 at once."""
    space, seen, charge = TableSpace(table), set[str](), Charge(table, 1e9)
    targets = tuple(Target(item.name, item.direction, item.known) for item in table.spec.objectives)
    context = SamplerContext(
        space,
        0,
        count,
        0,
        lambda row: Screening(None, {}, table.exact(row.index)),
        targets,
        seen.__contains__,
        Measuring(("energy",), charge.measure),
        reference=reference_of(table),
    )
    sampler = CandidateSampler(space, cost_aware(context), seen.__contains__)
    study = optuna.create_study(directions=list(table.directions), sampler=sampler)
    distributions = {name: CategoricalDistribution(known) for name, known in space.choices.items()}
    rng = np.random.default_rng(0)
    while len(seen) < count:
        row = space.random(rng)
        if row.digest not in seen:
            seen.add(row.digest)
            values = table.objectives[row.index].tolist()
            study.add_trial(create_trial(params=space.parameters(row), distributions=distributions, values=values))

    def ask() -> tuple[optuna.Trial, list[float], float]:
        began = time.perf_counter()
        trial = study.ask()
        row = space.sample(trial)
        seen.add(row.digest)
        return trial, table.objectives[row.index].tolist(), time.perf_counter() - began

    trial, values, _ = ask()  # lists the table and reads what was told: once a search
    study.tell(trial, values)
    rounds = []
    for _ in range(NUM_ROUNDS):
        asked = [ask() for _ in range(NUM_WORKERS)]
        rounds.append([seconds for _, _, seconds in asked])
        for trial, values, _ in asked:
            study.tell(trial, values)
    first_s = fmean(seconds[0] for seconds in rounds)
    further_s = fmean(fmean(seconds[1:]) for seconds in rounds)
    return first_s, further_s, fmean(fmean(seconds) for seconds in rounds)


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    main()
