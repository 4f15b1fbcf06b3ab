from itertools import pairwise

import numpy as np
import optuna
import pytest
from search_bench import Bench, fake_costs

from ecoNAS.architecture import Deployment
from ecoNAS.costs.constraints import parse_constraint
from ecoNAS.costs.screen import screen
from ecoNAS.search.beliefs import Target
from ecoNAS.search.cost_aware import NUM_START
from ecoNAS.search.samplers import SAMPLERS, CandidateSampler, RandomProposer, SamplerContext
from ecoNAS.search.spread import spread
from ecoNAS.space.search_space import SearchSpace


def context(space: SearchSpace, max_macs: float = 1e9) -> SamplerContext:
    bound = parse_constraint(f"macs <= {max_macs}", {"macs": ""})
    targets = (Target("macs", "minimize", "exact"), Target("error", "minimize", "after_training"))
    return SamplerContext(
        space, 0, 40, 0, lambda candidate: screen(space.costs(candidate), [bound]), targets, lambda digest: False
    )


@pytest.fixture
def space(bench: Bench) -> SearchSpace:
    return bench.loop().parts.space  # type: ignore[return-value]  # the protocol is wider


def ask(space: SearchSpace, name: str, count: int, max_macs: float = 1e9) -> list[int]:
    """Return the MACs of the first proposals, each told as soon as it was asked for."""
    sampler = CandidateSampler(space, SAMPLERS[name](context(space, max_macs)), lambda digest: False)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    found = []
    for _ in range(count):
        trial = study.ask()
        macs = space.costs(space.sample(trial)).macs
        study.tell(trial, [macs, 1.0])
        found.append(macs)
    return found


def test_the_start_sequence_takes_the_ends_and_then_halves() -> None:
    assert [spread(index) for index in range(9)] == [0, 1, 1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8, 7 / 8]


def test_auto_starts_at_both_ends_of_the_costs_that_pass_the_gate(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    usual = sorted(space.costs(space.random(rng)).macs for _ in range(300))
    bound = usual[200]
    first = ask(space, "auto", NUM_START, bound)
    assert first[0] == min(first) <= usual[15]
    assert first[1] == max(first) <= bound
    assert max(first) >= usual[180]
    ordered = sorted(first)
    assert all(high / low < 4 for low, high in pairwise(ordered))


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_sampler_repeats_itself_from_the_same_seed(space: SearchSpace, name: str) -> None:
    assert ask(space, name, 20) == ask(space, name, 20)


def test_a_random_proposal_depends_on_seed_trial_and_attempt_alone(space: SearchSpace) -> None:
    study = optuna.create_study()
    trials = [study.ask() for _ in range(2)]
    frozen = [study.get_trials()[trial.number] for trial in trials]
    one, again = RandomProposer(space, 0), RandomProposer(space, 0)
    one.propose(study, frozen[0], 0)
    assert one.propose(study, frozen[1], 3) == again.propose(study, frozen[1], 3)
    assert one.propose(study, frozen[1], 0) != one.propose(study, frozen[1], 1)
    assert RandomProposer(space, 1).propose(study, frozen[0], 0) != one.propose(study, frozen[0], 0)


def test_a_proposal_that_is_known_is_drawn_again_within_the_trial(space: SearchSpace) -> None:
    seen: set[str] = set()
    proposer = RandomProposer(space, 0)
    study = optuna.create_study(sampler=CandidateSampler(space, proposer, seen.__contains__))
    first = space.sample(study.ask())
    seen.add(first.digest)
    again = optuna.create_study(sampler=CandidateSampler(space, proposer, seen.__contains__))
    assert space.sample(again.ask()).digest != first.digest
    assert len(again.get_trials()) == 1


def test_an_unknown_candidate_of_a_bound_space_has_costs(space: SearchSpace) -> None:
    candidate = space.random(np.random.default_rng(0))
    assert space.bind(Deployment(), fake_costs).costs(candidate) == fake_costs(candidate.architecture)
