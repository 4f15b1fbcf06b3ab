"""A search with rungs: what Optuna and the events are told, and that death anywhere repeats no part of a training."""

import itertools
from collections import Counter

import pytest
from optuna.trial import TrialState
from search_bench import RUNGS, Bench, FakeTask, fake_evaluation

from ecoNAS.event_log import EventLog
from ecoNAS.events import Event, RungReached, TrialEnded, TrialPromoted
from ecoNAS.records import Evaluation, Outcome
from ecoNAS.search.budget import Budget

TRIALS = 13


class _Death(BaseException):
    """Stands for kill -9: nothing after it runs."""


@pytest.fixture
def halving(bench: Bench) -> Bench:
    bench.trials, bench.factor = TRIALS, 2.0
    return bench


def ends(bench: Bench) -> Counter[Outcome]:
    return Counter(event.outcome for event in bench.folder.events if isinstance(event, TrialEnded))


def check_parts(bench: Bench) -> None:
    """Every candidate went up its rungs in order, none twice, and every one that was asked for ended once."""
    assert max(Counter(bench.parts).values()) == 1
    for trial, parts in itertools.groupby(sorted(bench.parts), key=lambda part: part[0]):
        levels = [level for _, level in parts]
        assert levels == list(range(len(levels))), trial
    finished = {trial for trial, level in bench.parts if level == len(RUNGS)}
    events = [event for event in bench.folder.events if isinstance(event, TrialEnded)]
    assert len(events) == len({event.trial for event in events})
    assert {event.trial for event in events if event.outcome is Outcome.EVALUATED} == finished
    assert ends(bench)[Outcome.EVALUATED] + ends(bench)[Outcome.STOPPED] == TRIALS


@pytest.mark.parametrize("sampler", ["random", "auto"])
def test_the_best_go_on_and_the_others_are_told_as_pruned(halving: Bench, sampler: str) -> None:
    halving.sampler = sampler
    assert halving.loop().run().reason == "trials"
    check_parts(halving)
    reached = Counter(event.rung for event in halving.folder.events if isinstance(event, RungReached))
    assert reached[0] == TRIALS
    assert TRIALS // 2 <= reached[1] + 1 <= 2 * TRIALS // 3 + 1
    states = Counter(trial.state for trial in halving.study().trials)
    assert states == {
        TrialState.COMPLETE: ends(halving)[Outcome.EVALUATED],
        TrialState.PRUNED: ends(halving)[Outcome.STOPPED],
    }
    stopped = [event for event in halving.folder.events if isinstance(event, TrialEnded) and event.outcome == "stopped"]
    assert {event.reason for event in stopped} == {"others were better at its rung"}


def test_who_waits_is_still_running_for_optuna(halving: Bench) -> None:
    seen = []

    def run(task: FakeTask) -> Evaluation:
        if task.level == 1:
            seen.append({trial.state for trial in halving.study().trials})
        return fake_evaluation(task)

    halving.run = run
    halving.loop().run()
    assert seen[0] == {TrialState.RUNNING}


def test_a_candidate_that_diverges_on_its_way_up_ends_there(halving: Bench) -> None:
    halving.run = lambda task: fake_evaluation(task, Outcome.INFEASIBLE if task.level else Outcome.EVALUATED)
    halving.loop().run()
    assert ends(halving)[Outcome.INFEASIBLE] > 0
    assert ends(halving)[Outcome.EVALUATED] == 0


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("sampler", "call"), [*(("random", call) for call in (3, 6, 8, 11, 16, 23, 31, 44)), ("auto", 11), ("auto", 44)]
)
def test_death_at_any_event_repeats_no_part(
    halving: Bench, monkeypatch: pytest.MonkeyPatch, call: int, after: bool, sampler: str
) -> None:
    halving.sampler = sampler
    real, calls = EventLog.append, itertools.count(1)

    def deadly(log: EventLog, event: Event) -> None:
        is_last = next(calls) == call
        if is_last and not after:
            raise _Death
        real(log, event)
        if is_last:
            raise _Death

    with monkeypatch.context() as patch:
        patch.setattr(EventLog, "append", deadly)
        with pytest.raises(_Death):
            halving.loop().run()
    second = halving.loop()
    second.restore()
    assert second.run().reason == "trials"
    check_parts(halving)
    promoted = [(event.trial, event.rung) for event in halving.folder.events if isinstance(event, TrialPromoted)]
    assert max(Counter(promoted).values()) == 1


def test_an_interrupted_search_keeps_who_waits(halving: Bench) -> None:
    whole = Bench(halving.folder, trials=TRIALS, factor=2.0)
    loop = whole.loop()

    def run(task: FakeTask) -> Evaluation:
        if task.trial == 7:
            loop.stop()
        return fake_evaluation(task)

    whole.run = run
    assert loop.run().reason == "interrupted"
    assert ends(whole)[Outcome.STOPPED] == 0
    halving.parts = whole.parts
    second = halving.loop()
    second.restore()
    second.run()
    check_parts(halving)


def test_who_waits_makes_room_where_there_is_none(halving: Bench) -> None:
    loop = halving.loop()
    pausing = loop._pausing
    parts = loop.parts
    object.__setattr__(parts, "must_make_room", lambda: len(pausing.waiting) > 3)
    loop.run()
    reasons = Counter(event.reason for event in halving.folder.events if isinstance(event, TrialEnded))
    assert reasons["its checkpoint had to make room"] > 0
    assert ends(halving)[Outcome.EVALUATED] + ends(halving)[Outcome.STOPPED] == TRIALS


def test_a_candidate_that_shows_no_value_at_a_rung_ends_there(halving: Bench) -> None:
    loop = halving.loop()
    values = loop.parts.values

    def without(found: Evaluation) -> tuple[float, ...] | None:
        return None if found.outcome is Outcome.STOPPED and found.trial == 2 else values(found)

    object.__setattr__(loop.parts, "values", without)
    assert loop.run().reason == "trials"
    (end,) = [event for event in halving.folder.events if isinstance(event, TrialEnded) and event.trial == 2]
    assert end.outcome is Outcome.STOPPED
    assert not any(isinstance(event, RungReached) and event.trial == 2 for event in halving.folder.events)


def test_each_part_is_held_against_the_budget_at_its_own_price(halving: Bench) -> None:
    spent = []

    def run(task: FakeTask) -> Evaluation:
        spent.append((1, 1, 2)[task.level] / 4)
        return fake_evaluation(task)

    halving.run = run
    halving.budget = Budget(energy_j=6.0, spent_j=lambda: sum(spent), price_j=lambda costs: 1.0)
    loop = halving.loop()
    object.__setattr__(loop.parts, "share_of", lambda task: (1, 1, 2)[task.level] / 4)
    assert loop.run().reason == "budget"
    assert 5.5 <= sum(spent) <= 6.0  # where each part were a whole training, it would end below
