"""The cost-aware sampler on tables: what it measures, whom it avoids, and that it goes on as it would have."""

from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.study import Study
from optuna.trial import TrialState
from tables import SPEC, table

from ecoNAS.benchmark.compare import Judge
from ecoNAS.benchmark.lookup import Charge, Way, reference_of, run_once
from ecoNAS.benchmark.rivals import RIVALS
from ecoNAS.benchmark.synthetic import read_synthetic
from ecoNAS.costs.screen import Screening
from ecoNAS.evaluation.tabular import Row, Table, TableSpace
from ecoNAS.pareto import front
from ecoNAS.search.beliefs import Target
from ecoNAS.search.gauges import Measuring
from ecoNAS.search.pool import Pool
from ecoNAS.search.samplers import SAMPLERS, CandidateSampler, SamplerContext
from ecoNAS.search.storage import STANDARD_ERRORS, TRAINABLE


class Asker:
    """A study over a table whose trials are asked and told by hand."""

    def __init__(
        self, found: Table, study: Study | None = None, *, measures: bool = False, most: float | None = None
    ) -> None:
        self.table, self.space, self.seen = found, TableSpace(found), set[str]()
        self.charge = Charge(found, 1e9)
        self.context = SamplerContext(
            self.space,
            0,
            100,
            0,
            lambda row: Screening(None, {}, found.exact(row.index)),
            tuple(
                Target(item.name, item.direction, item.known, most if item.name == "energy" else None)
                for item in found.spec.objectives
            ),
            self.seen.__contains__,
            Measuring(("energy",), self.charge.measure) if measures else None,
            reference=reference_of(found),
        )
        self.study = study or optuna.create_study(directions=list(found.directions))
        self.limit(self.context.measuring)
        for trial in self.study.get_trials():
            self.seen.add(self.space.from_parameters(trial.params).digest)

    def limit(self, measuring: Measuring | None) -> None:
        """Go on with a sampler that measures in this way."""
        proposer = SAMPLERS["auto"](replace(self.context, measuring=measuring))
        self.study.sampler = CandidateSampler(self.space, proposer, self.seen.__contains__)

    def ask(self) -> tuple[optuna.Trial, Row]:
        trial = self.study.ask()
        row = self.space.sample(trial)
        self.seen.add(row.digest)
        return trial, row

    def step(self) -> Row:
        trial, row = self.ask()
        self.study.tell(trial, self.table.objectives[row.index].tolist())
        return row


def test_a_driver_that_goes_on_proposes_what_the_first_would_have() -> None:
    whole = Asker(table())
    rows = [whole.step() for _ in range(18)]
    first = Asker(table())
    begun = [first.step() for _ in range(12)]
    second = Asker(table(), first.study)
    assert begun + [second.step() for _ in range(6)] == rows


def test_workers_that_ask_at_once_get_different_candidates() -> None:
    asker = Asker(table())
    for _ in range(12):
        asker.step()
    rows = [asker.ask()[1] for _ in range(8)]
    assert len({row.digest for row in rows}) == 8
    # Believing that the first comes out as predicted spreads the others over the front: not all of one kind.
    joules = [asker.table.objectives[row.index, 1] for row in rows]
    assert max(joules) > 3 * min(joules)


def test_a_few_are_measured_for_one_that_is_trained() -> None:
    asker = Asker(table(), measures=True)
    for _ in range(8):
        asker.step()
    assert not asker.charge.measured  # the start is spread by what is free
    for _ in range(4):
        before = len(asker.charge.measured)
        row = asker.step()
        assert row.index in asker.charge.measured
        assert len(asker.charge.measured) - before <= 8


@pytest.mark.parametrize(
    ("cost", "most", "num"), [(0.0, 8, 8), (0.005, 8, 8), (0.03, 8, 3), (0.2, 8, 0), (float("inf"), 8, 0), (0.0, 2, 2)]
)
def test_as_many_are_measured_as_cost_little_beside_a_training(cost: float, most: int, num: int) -> None:
    found = table()
    asker = Asker(found, measures=True)
    measuring = Measuring(("energy",), asker.charge.measure, lambda: cost, most)
    assert measuring.num_worth == num
    asker.limit(measuring)
    for _ in range(8):
        asker.step()
    for _ in range(3):
        before = len(asker.charge.measured)
        asker.step()
        assert (len(asker.charge.measured) > before) == (num > 0)
        assert len(asker.charge.measured) - before <= num


@pytest.mark.parametrize("objectives", [["macs", "depth_cost"], ["macs"]])
def test_exact_objectives_beside_others_are_read_and_help(objectives: list[str]) -> None:
    exact = [
        {"name": name, "column": "macs", "offset": offset, "direction": "minimize", "known": "exact"}
        for name, offset in (("macs", 0), ("depth_cost", 1))
        if name in objectives
    ]
    found = table(objectives=[*SPEC["objectives"], *exact], features=[])
    shares = {
        name: np.mean(
            [
                Judge(found).read(name, seed, run_once(found, RIVALS[name], seed, Way(20)), 20).hv_frac
                for seed in (0, 1, 2)
            ]
        )
        for name in ("auto", "random")
    }
    assert shares["auto"] > shares["random"]


def test_one_objective_alone_is_searched() -> None:
    found = table(objectives=[SPEC["objectives"][0]])
    trace = run_once(found, RIVALS["auto"], 0, Way(20))
    assert found.objectives[list(trace.rows), 0].min() == found.objectives[:, 0].min()


def test_a_maximised_objective_is_a_minimised_one_with_its_sign_turned() -> None:
    accuracy = {"name": "accuracy", "column": "accuracy", "direction": "maximize", "known": "after_training"}
    turned = table(objectives=[accuracy, SPEC["objectives"][1]])
    assert run_once(turned, RIVALS["auto"], 0, Way(16)).rows == run_once(table(), RIVALS["auto"], 0, Way(16)).rows


def test_a_bound_on_an_objective_draws_the_search_within_it() -> None:
    bound = float(np.quantile(table().objectives[:, 1], 0.3))
    within = {}
    for most in (None, bound):
        asker = Asker(table(), most=most)
        rows = [asker.step() for _ in range(25)][10:]
        within[most] = sum(asker.table.objectives[row.index, 1] <= bound for row in rows)
    assert within[bound] >= 13 > within[None]


def test_candidates_like_those_that_could_not_be_trained_are_avoided() -> None:
    """Attention, the most accurate of the table, runs out of memory here."""
    asker, proposed = Asker(table()), []
    for _ in range(30):
        trial, row = asker.ask()
        proposed.append(row.values[0])
        if row.values[0] == "attention":
            trial.set_constraint(TRAINABLE, 1.0)
            asker.study.tell(trial, state=TrialState.PRUNED)
        else:
            trial.set_constraint(TRAINABLE, 0.0)
            asker.study.tell(trial, asker.table.objectives[row.index].tolist())
    assert proposed[:15].count("attention") >= 2  # some were tried
    assert proposed[15:].count("attention") <= 2


def test_a_bound_that_only_a_training_shows_is_learned() -> None:
    asker, broken = Asker(table()), []
    for _ in range(30):
        trial, row = asker.ask()
        error, energy = asker.table.objectives[row.index].tolist()
        broken.append(int(row.values[2]) > 2)  # depth: no objective, and the sampler is not told
        trial.set_constraint("memory <= 1 GiB", 0.5 if broken[-1] else -0.5)
        asker.study.tell(trial, [error, energy])
    assert sum(broken[:10]) >= 3
    assert sum(broken[15:]) <= 4


def test_a_lucky_training_does_not_freeze_the_front() -> None:
    """Told that a poor candidate was the best of all, by a score that may be that far off, the search goes on there."""
    found = table()
    is_best = front(found.objectives, found.directions)
    num_found = {}
    for errors in (None, [100.0, 0.0]):
        asker = Asker(found)
        for _ in range(10):
            asker.step()
        trial, _ = asker.ask()
        if errors is not None:
            trial.set_user_attr(STANDARD_ERRORS, errors)
        asker.study.tell(trial, [-50.0, float(found.objectives[:, 1].min())])  # beats everything in everything
        num_found[errors is not None] = sum(bool(is_best[asker.step().index]) for _ in range(15))
    assert num_found[True] >= num_found[False] + 3


def test_what_a_pool_remembers_does_not_grow_with_the_trials() -> None:
    found = read_synthetic("synthetic:wide")
    space = TableSpace(found)
    pool = Pool(space, lambda row: Screening(None, {}, found.exact(row.index)), 0, max_listed=0)
    rng, sizes = np.random.default_rng(0), []
    for number in range(60):
        members = [space.random(rng) for _ in range(5)]
        candidates = pool.candidates(number, members, lambda digest: False)
        assert candidates is not None
        assert len({known.digest for known in candidates.known}) == len(candidates)
        sizes.append(sum(len(known) for known in (*pool._drawn.values(), *pool._beside.values())))
    assert max(sizes[40:]) <= 1.1 * max(sizes[20:40])
