import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from optuna.trial import TrialState
from search_bench import SPACES, Bench, FakeTask, fake_evaluation

from ecoNAS.evaluation.workers import Finished
from ecoNAS.events import Event, RunEnded, ScaleFixed, TrialEnded, TrialProposed
from ecoNAS.records import Evaluation, Outcome
from ecoNAS.search.budget import Budget
from ecoNAS.search.growth import Plateau
from ecoNAS.search.samplers import CandidateSampler
from ecoNAS.search.streaks import MAX_IN_A_ROW


def ended(bench: Bench) -> list[TrialEnded]:
    return [event for event in bench.folder.events if isinstance(event, TrialEnded)]


def outcomes(bench: Bench, outcome: Outcome) -> list[TrialEnded]:
    return [event for event in ended(bench) if event.outcome is outcome]


def resumed(bench: Bench) -> RunEnded:
    loop = bench.loop()
    loop.restore()
    return loop.run()


@pytest.mark.parametrize("sampler", ["random", "nsga2", "tpe", "auto"])
def test_a_search_evaluates_exactly_the_trials_asked_for_and_none_twice(bench: Bench, sampler: str) -> None:
    bench.sampler, bench.trials = sampler, 25
    assert bench.loop().run().reason == "trials"
    assert len(bench.evaluated) == len(set(bench.evaluated)) == 25
    assert len(bench.folder.evaluations()) == 25
    complete = bench.study().get_trials(states=(TrialState.COMPLETE,))
    assert len(complete) == 25


class ThreeAtATime:
    """Workers that finish in the order in which they began; remembers which trainings were under way together."""

    capacity = 3

    def __init__(self, run: Callable[[FakeTask], Evaluation]) -> None:
        self._run, self._tasks = run, list[FakeTask]()
        self.together = list[list[str]]()

    def submit(self, task: FakeTask) -> None:
        self._tasks.append(task)
        self.together.append([architecture_of(task) for task in self._tasks])

    def next_finished(self, timeout_s: float) -> Finished[FakeTask, Evaluation] | None:
        task = self._tasks.pop(0)
        return Finished(task, self._run(task))

    def close(self) -> None:
        self._tasks.clear()


def architecture_of(task: FakeTask) -> str:
    return task.candidate.architecture.digest


@pytest.mark.parametrize("factor", [0.0, 2.0])
def test_no_two_candidates_are_in_the_same_training_at_a_time(bench: Bench, tmp_path: Path, factor: float) -> None:
    """One that shares its training with another waits, is not forgotten, and does not keep others waiting."""
    values = yaml.safe_load((SPACES / "smoke.yaml").read_text())
    values["stages"] = [{**values["stages"][0], "block": {"fused_mbconv": {"kernel_size": 3, "expansion": 1}}}]
    values["deployment"] = {"threads": [1, 2, 3, 4], "batch": [1, 8]}
    (tmp_path / "deployed.yaml").write_text(yaml.safe_dump(values))  # 4 architectures, 8 deployments of each
    made = list[ThreeAtATime]()

    def three(run: Callable[[FakeTask], Evaluation]) -> ThreeAtATime:
        made.append(ThreeAtATime(run))
        return made[-1]

    bench.space_name, bench.trials, bench.factor = str(tmp_path / "deployed"), 16, factor
    bench.workers, bench.training_of = three, architecture_of
    assert bench.loop().run().reason == "trials"

    (workers,) = made
    assert all(len(set(keys)) == len(keys) for keys in workers.together)
    assert max(map(len, workers.together)) == 3
    finished = [event for event in ended(bench) if event.outcome in (Outcome.EVALUATED, Outcome.STOPPED)]
    assert len({event.digest for event in finished}) == len(finished) == 16


def test_optuna_holds_the_values_of_every_evaluation(bench: Bench) -> None:
    bench.loop().run()
    evaluations = bench.folder.evaluations()
    for trial in bench.study().get_trials(states=(TrialState.COMPLETE,)):
        evaluation = evaluations[trial.user_attrs["digest"]]
        assert evaluation.training is not None
        assert trial.values == [evaluation.training.accuracy.value, evaluation.costs.params]


def test_refused_candidates_are_pruned_with_every_constraint_set_and_do_not_count(bench: Bench) -> None:
    bench.bounds = ("params <= 600", "macs <= 10k")
    bench.loop().run()
    refused = outcomes(bench, Outcome.REFUSED)
    assert refused
    assert len(outcomes(bench, Outcome.EVALUATED)) == bench.trials
    by_number = {trial.number: trial for trial in bench.study().get_trials()}
    for event in refused:
        trial = by_number[event.trial]
        assert trial.state is TrialState.PRUNED
        stored = {
            key.partition(":")[2]: value for key, value in trial.system_attrs.items() if key.startswith("constraints:")
        }
        assert stored == {**event.violations, "trainable": 0.0}
        assert max(event.violations.values()) > 0
    assert not set(bench.evaluated) & {event.digest for event in refused}


def test_infeasible_candidates_are_pruned_as_not_trainable_and_do_not_count(bench: Bench) -> None:
    numbers = itertools.count()

    def run(task: FakeTask) -> Evaluation:
        is_bad = next(numbers) % 3 == 0
        return fake_evaluation(task, Outcome.INFEASIBLE if is_bad else Outcome.EVALUATED)

    bench.run = run
    bench.loop().run()
    assert len(outcomes(bench, Outcome.EVALUATED)) == bench.trials
    by_number = {trial.number: trial for trial in bench.study().get_trials()}
    for event in outcomes(bench, Outcome.INFEASIBLE):
        trial = by_number[event.trial]
        assert trial.state is TrialState.PRUNED
        assert trial.system_attrs["constraints:trainable"] == 1.0


def test_an_exception_is_a_failure_with_a_log_and_the_search_goes_on(bench: Bench) -> None:
    numbers = itertools.count()

    def run(task: FakeTask) -> Evaluation:
        if next(numbers) == 2:
            raise RuntimeError("the disk fell out")
        return fake_evaluation(task)

    bench.run = run
    assert bench.loop().run().reason == "trials"
    (failed,) = outcomes(bench, Outcome.FAILED)
    assert failed.reason == f"RuntimeError: the disk fell out (see logs/{failed.trial}.log)"
    assert "Traceback" in bench.folder.log(failed.trial).read_text()
    assert bench.study().get_trials()[failed.trial].state is TrialState.FAIL


def test_a_search_in_which_everything_fails_ends_soon(bench: Bench) -> None:
    def run(task: FakeTask) -> Evaluation:
        raise RuntimeError("nothing works")

    bench.run = run
    end = bench.loop().run()
    assert end.reason == "failing"
    assert len(bench.evaluated) == 5
    assert "logs" in end.detail


def test_a_space_that_is_used_up_ends_the_search_with_everything_evaluated_once(bench: Bench) -> None:
    bench.space_name, bench.trials = "smoke", 1000
    assert bench.loop().run().reason == "exhausted"
    assert len(bench.evaluated) == len(set(bench.evaluated))
    assert len(bench.evaluated) >= 24  # 48 parameter sets and a few more draws than that reach most networks
    duplicates = outcomes(bench, Outcome.DUPLICATE)
    assert len(duplicates) >= 10
    trials = bench.study().get_trials()
    for event in duplicates:
        assert event.duplicate_of is not None
        trial = trials[event.trial]
        assert trial.user_attrs["duplicate_of"] == event.duplicate_of
        assert trial.values == trials[event.duplicate_of].values


def test_a_gate_that_nothing_passes_ends_the_search_and_names_the_tightest_bound(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MAX_IN_A_ROW, Outcome.REFUSED, 30)
    bench.bounds = ("params <= 10",)
    end = bench.loop().run()
    assert end.reason == "nothing_passes"
    assert "tightest bound is 'params <= 10'" in end.detail
    assert not bench.evaluated


def test_a_budget_in_joules_is_kept_and_a_larger_one_takes_up_the_candidate_that_did_not_fit(bench: Bench) -> None:
    def spent_j() -> float:  # as many joules as parameters
        return float(sum(evaluation.costs.params for evaluation in bench.folder.evaluations().values()))

    for budget_j in (2_000.0, 4_000.0):
        before = spent_j()
        bench.budget = Budget(budget_j, spent_j=spent_j, price_j=lambda costs: float(costs.params))
        end = resumed(bench)
        assert end.reason == "budget"
        assert f"of {budget_j:g} J are spent" in end.detail
        assert before < spent_j() <= budget_j
        (left,) = [trial for trial in bench.study().get_trials() if trial.state is TrialState.RUNNING]
    bench.budget, bench.trials = Budget(), len(bench.folder.evaluations()) + 1
    assert resumed(bench).reason == "trials"
    assert left.number in {event.trial for event in outcomes(bench, Outcome.EVALUATED)}


def test_the_scale_is_fixed_once_from_the_first_twenty_evaluations(bench: Bench) -> None:
    bench.trials = 30
    bench.loop().run()
    events = list(bench.folder.events)
    scales = [index for index, event in enumerate(events) if isinstance(event, ScaleFixed)]
    assert len(scales) == 1
    before = [event for event in events[: scales[0]] if isinstance(event, TrialEnded)]
    assert len(before) == 20
    params = [bench.folder.evaluations()[event.digest].costs.params for event in before]
    scale = events[scales[0]]
    assert isinstance(scale, ScaleFixed)
    assert scale.objectives["params"] == (min(params), max(params))
    ideal, nadir = scale.objectives["accuracy"]
    assert ideal > nadir


def test_a_stopped_search_finishes_what_is_under_way_and_can_go_on(bench: Bench) -> None:
    loop = bench.loop()
    calls = itertools.count()

    def run(task: FakeTask) -> Evaluation:
        if next(calls) == 3:
            loop.stop()
        return fake_evaluation(task)

    bench.run = run
    assert loop.run().reason == "interrupted"
    assert len(bench.evaluated) == 4
    again = bench.loop()
    again.restore()
    assert again.run().reason == "trials"
    assert len(bench.evaluated) == len(set(bench.evaluated)) == bench.trials


class _Death(BaseException):
    """Stands for kill -9: nothing after it runs."""


def die_at(bench: Bench, target: str, call: int, monkeypatch: pytest.MonkeyPatch, *, after: bool) -> None:
    """Run a search whose driver dies at the `call`-th use of a function that the loop calls."""
    home, _, name = target.rpartition(".")
    real: Callable[..., Any] = getattr(__import__(home, fromlist=[name]), name)
    calls = itertools.count(1)

    def deadly(*args: object, **kwargs: object) -> object:
        is_last = next(calls) == call
        if is_last and not after:
            raise _Death
        result = real(*args, **kwargs)
        if is_last:
            raise _Death
        return result

    with monkeypatch.context() as patch:
        patch.setattr(target, deadly)
        with pytest.raises(_Death):
            bench.loop().run()


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", [1, 4, 9])
@pytest.mark.parametrize("bounds", [(), ("params <= 700",)])
def test_death_around_telling_loses_and_repeats_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, call: int, after: bool, bounds: tuple[str, ...]
) -> None:
    bench.bounds = bounds
    die_at(bench, "ecoNAS.search.loop.tell", call, monkeypatch, after=after)
    check_resumed(bench)


@pytest.mark.parametrize("call", [1, 5])
def test_death_between_evaluation_file_and_event_loses_and_repeats_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    real = type(bench.folder).write_evaluation
    calls = itertools.count(1)

    def deadly(folder: object, evaluation: Evaluation) -> None:
        real(bench.folder, evaluation)
        if next(calls) == call:
            raise _Death

    with monkeypatch.context() as patch:
        patch.setattr(type(bench.folder), "write_evaluation", deadly)
        with pytest.raises(_Death):
            bench.loop().run()
    check_resumed(bench)


def test_death_in_training_runs_that_candidate_again_under_its_trial(bench: Bench) -> None:
    def run(task: FakeTask) -> Evaluation:
        if task.trial == 3:
            raise _Death
        return fake_evaluation(task)

    bench.run = run
    with pytest.raises(_Death):
        bench.loop().run()
    interrupted = bench.evaluated.pop()
    bench.run = fake_evaluation
    check_resumed(bench)
    assert bench.folder.evaluations()[interrupted].trial == 3


@pytest.mark.parametrize("call", [1, 50, 51, 77])
def test_death_while_parameters_are_stored_changes_no_proposal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, call: int
) -> None:
    real = optuna.trial.Trial.suggest_categorical
    calls = itertools.count(1)

    def deadly(trial: optuna.trial.Trial, name: str, choices: Any) -> Any:
        if next(calls) == call:
            raise _Death
        return real(trial, name, choices)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.trial.Trial, "suggest_categorical", deadly)
        with pytest.raises(_Death):
            bench.loop().run()
    check_resumed(bench)
    check_same_as_undisturbed(bench, tmp_path)


@pytest.mark.parametrize("number", [0, 3])
def test_death_while_a_candidate_is_proposed_changes_no_proposal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, number: int
) -> None:
    real = CandidateSampler.sample_relative

    def deadly(sampler: CandidateSampler, study: Any, trial: Any, search_space: Any) -> Any:
        if trial.number == number:
            raise _Death
        return real(sampler, study, trial, search_space)

    with monkeypatch.context() as patch:
        patch.setattr(CandidateSampler, "sample_relative", deadly)
        with pytest.raises(_Death):
            bench.loop().run()
    check_resumed(bench)
    check_same_as_undisturbed(bench, tmp_path)


def check_same_as_undisturbed(bench: Bench, folder: Any) -> None:
    whole = Bench(type(bench.folder)(folder / "whole"), trials=bench.trials)
    whole.folder.create()
    whole.loop().run()
    assert bench.evaluated == whole.evaluated
    assert not bench.study().get_trials(states=(TrialState.FAIL,))


def check_resumed(bench: Bench) -> None:
    again = bench.loop()
    again.restore()
    assert again.run().reason == "trials"
    assert len(bench.evaluated) == len(set(bench.evaluated)) == bench.trials
    assert len(bench.study().get_trials(states=(TrialState.COMPLETE,))) == bench.trials
    assert not bench.study().get_trials(states=(TrialState.RUNNING,))
    assert len({event.trial for event in ended(bench)}) == len(ended(bench))


def test_a_resumed_random_search_proposes_what_it_would_have_proposed(bench: Bench, tmp_path: Any) -> None:
    whole = Bench(type(bench.folder)(tmp_path / "whole"), trials=12)
    whole.folder.create()
    whole.loop().run()
    bench.trials = 5
    bench.loop().run()
    bench.trials = 12
    again = bench.loop()
    again.restore()
    again.run()
    assert bench.evaluated == whole.evaluated


def test_every_trial_has_its_parameters_in_the_events(bench: Bench) -> None:
    bench.loop().run()
    proposed: list[Event] = [event for event in bench.folder.events if isinstance(event, TrialProposed)]
    assert len(proposed) == len(bench.study().get_trials())
    trials = bench.study().get_trials()
    for event in proposed:
        assert isinstance(event, TrialProposed)
        assert event.parameters == trials[event.trial].params


def test_a_front_that_grows_no_more_ends_the_search_and_a_resumed_one_again(bench: Bench) -> None:
    bench.trials, bench.plateau = 200, Plateau(trials=10, gain=0.5)
    last = bench.loop().run()
    assert last.reason == "plateau"
    assert "the last 10 candidates raised the hypervolume by" in last.detail
    assert 30 <= len(bench.evaluated) < 200

    assert resumed(bench).reason == "plateau"
    bench.plateau, bench.trials = None, len(bench.evaluated) + 2
    assert resumed(bench).reason == "trials"
