"""Searches that measure: real workers over a counter whose power is known, alone, two at a time, killed and misled."""

import itertools
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import fmean

import pytest
import yaml

from ecoNAS import load_run
from ecoNAS.analysis.ledger import read_ledger
from ecoNAS.analysis.run import Run
from ecoNAS.energy.lane import Lane
from ecoNAS.energy.meters.rapl import host_identity
from ecoNAS.events import Event, MeterFailed, Phase, ProfileRefined, RunEnded, RunStarted, TrialEnded
from ecoNAS.records import Evaluation, Outcome
from ecoNAS.run_folder import RunFolder

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180.0
POWER_W = 40.0
BATCH_S = 0.1  # a batch of these networks takes milliseconds, on a busy machine a few more
PROTOCOL = {"warm_up_s": 0.1, "warm_up_iterations": 5, "cpu_window_s": 0.3, "idle_s": 0.3, "max_blocks": 2}
ALONE = "workers={kind: in_process}"  # where nothing is to be proven of Ray, whose start takes long
CONTENT = {"front_target": 0.5, "near_target": 0.5}  # nothing is measured again

pytestmark = pytest.mark.slow


@dataclass
class Machine:
    """A machine of its own: a counter, lanes, and the searches that share them."""

    path: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)
    driver: subprocess.Popen[str] | None = None

    @property
    def lane(self) -> Lane:
        return Lane(host_identity(self.path), self.path / "lanes")

    def count(self) -> None:
        """Let the counter run, from its start: one that ran before is reset."""
        if self.driver is not None:
            self.driver.kill()
            self.driver.communicate()
        command = [sys.executable, str(ROOT / "tests/fake_powercap.py"), str(self.path), "--power-w", str(POWER_W)]
        self.driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.driver.stdout is not None
        assert self.driver.stdout.readline() == "ready\n"

    def set_power(self, power_w: float) -> None:
        (self.path / "power_w.new").write_text(str(power_w))
        (self.path / "power_w.new").rename(self.path / "power_w")  # at once: its reader must not find it empty

    def search(self, name: str, *values: str, resume: bool = False, **protocol: float) -> subprocess.Popen[str]:
        """Start `econas search` with two Ray workers, unless other ones are given, in the folder `name`."""
        experiment = self.path / f"{name}.yaml"
        if not resume:
            content = {
                "search_space": str(ROOT / "search_spaces/smoke.yaml"),
                "data": {"name": "digits"},
                "objectives": ["accuracy", "energy_per_image", "macs"],
                "search": {"trials": 3, "sampler": "random", "seed": 0},
                "training": {"epochs": 6, "batch_size": 64},
                "energy": {"meter": "rapl", "root": str(self.path), "protocol": {**PROTOCOL, **protocol}},
                "workers": {"kind": "ray", "count": 2, "cpus_per_trial": 1},
            }
            experiment.write_text(yaml.safe_dump(content))
        command = [sys.executable, "-m", "ecoNAS", "search", str(experiment), "--run-dir", name]
        command += [word for value in values for word in ("--set", value)] + ["--resume"] * resume
        process = subprocess.Popen(
            command,
            cwd=self.path,
            env={**os.environ, "ECONAS_LANES": str(self.path / "lanes"), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def events(self, name: str) -> list[Event]:
        return list(RunFolder(self.path / name).events)

    def is_measuring(self, name: str) -> bool:
        return self.lane.status().owner == f"the run in {self.path / name}"

    def load(self, name: str) -> Run:
        return load_run(self.path / name)

    def evaluations(self, name: str) -> list[Evaluation]:
        return list(RunFolder(self.path / name).evaluations().values())

    def close(self) -> None:
        for process in [*self.started, self.driver]:
            if process is not None and process.poll() is None:
                process.kill()
                process.communicate()


@contextmanager
def new_machine(path: Path) -> Iterator[Machine]:
    (path / "lanes").mkdir(parents=True)
    found = Machine(path)
    try:
        found.count()
        yield found
    finally:
        found.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with new_machine(tmp_path / "machine") as found:
        yield found


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process is None or process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for the end of a search; return what its terminal said."""
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    return err


def ended(events: Sequence[Event]) -> list[TrialEnded]:
    return [event for event in events if isinstance(event, TrialEnded)]


def phases(events: Sequence[Event], name: str) -> list[Phase]:
    found = [phase for event in ended(events) for phase in event.phases]
    found += [event.phase for event in events if isinstance(event, ProfileRefined)]
    return sorted((phase for phase in found if phase.name == name), key=lambda phase: phase.started)


def energy_j(evaluation: Evaluation) -> float:
    """Return the joules per image, which were measured."""
    assert evaluation.profile is not None
    energy = evaluation.profile.energy
    assert energy is not None
    assert energy.kind == "measured"
    return energy.value_j


def check_values(evaluations: Sequence[Evaluation]) -> None:
    """Hold the joules per image against watts times the seconds per image that were measured with them.

    Where other programs keep the one that drives the counter waiting, the interval is wide, and has to hold the truth.
    """
    for evaluation in evaluations:
        assert evaluation.profile is not None
        measurement = evaluation.profile.measurement
        assert measurement is not None
        truth_j = POWER_W * fmean(window.image_s for window in measurement.windows if not window.replaced)
        tolerance = max(0.03, measurement.repeatability)
        assert energy_j(evaluation) == pytest.approx(truth_j, rel=tolerance)


def check_alone(events: Sequence[Event]) -> None:
    """No two profiles overlap, and a training was paused for at least as long as profiles went on meanwhile."""
    profiles = phases(events, "profiling")
    assert all(one.ended <= other.started for one, other in itertools.pairwise(profiles))
    for training in phases(events, "training"):
        overlaps = [min(training.ended, item.ended) - max(training.started, item.started) for item in profiles]
        overlaps = [overlap for overlap in overlaps if overlap > timedelta()]
        assert sum(overlap.total_seconds() for overlap in overlaps) <= training.paused_s + BATCH_S * len(overlaps)


@dataclass(frozen=True)
class Pair:
    """Two searches that ran side by side, and what their terminals said."""

    machine: Machine
    said: dict[str, str]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with new_machine(tmp_path_factory.mktemp("pair") / "machine") as machine:
        first, second = machine.search("first"), machine.search("second", "search.seed=1")
        yield Pair(machine, {"first": finish(first), "second": finish(second)})


@pytest.mark.long
@pytest.mark.parametrize("name", ["first", "second"])
def test_joules_of_two_searches_at_once_are_watts_times_seconds(pair: Pair, name: str) -> None:
    run = pair.machine.load(name)
    assert run.ended is not None
    assert run.ended.reason == "trials"
    assert run.counts["evaluated"] == 3
    check_values(pair.machine.evaluations(name))


@pytest.mark.long
def test_nobody_trains_or_measures_while_a_profile_of_either_search_goes_on(pair: Pair) -> None:
    both = pair.machine.events("first") + pair.machine.events("second")
    assert len(phases(both, "profiling")) >= 6
    assert any(training.paused_s > 0.5 for training in phases(both, "training"))
    check_alone(both)


@pytest.mark.long
@pytest.mark.parametrize("name", ["first", "second"])
def test_the_parts_of_the_bill_add_up_to_watts_times_seconds(pair: Pair, name: str) -> None:
    ledger = pair.machine.load(name).ledger
    assert ledger.is_metered
    assert ledger.holes == ()
    assert ledger.search_energy_j == pytest.approx(POWER_W * ledger.wall_s, rel=0.05)
    parts = [row.energy_j for row in ledger.rows if row.energy_j is not None]
    assert math.fsum(parts) == pytest.approx(ledger.search_energy_j, rel=1e-9)
    assert all(part >= 0 for part in parts)


@pytest.mark.long
@pytest.mark.parametrize("name", ["first", "second"])
def test_members_of_the_front_are_measured_to_the_target_or_say_that_they_are_not(pair: Pair, name: str) -> None:
    evaluations = {evaluation.digest: evaluation for evaluation in pair.machine.evaluations(name)}
    for trial in pair.machine.load(name).front_trials():
        profile = evaluations[trial.digest].profile
        assert profile is not None
        assert profile.measurement is not None
        if f"trial {trial.number} was not measured again" in pair.said[name]:
            continue  # where other programs keep the counter waiting too long
        if profile.measurement.repeatability > 0.02:
            assert profile.status in ("ci_unmet", "unstable")
            refined = [event for event in pair.machine.events(name) if event.type == "profile_refined"]
            assert any("above the target of 2.0%" in reason for reason in profile.reasons), (profile.reasons, refined)


@pytest.mark.long
def test_a_search_says_once_a_wait_that_another_one_measures(pair: Pair) -> None:
    device, num_said = host_identity(pair.machine.path), 0
    for name, other in (("first", "second"), ("second", "first")):
        said = [line for line in pair.said[name].splitlines() if line.startswith("waiting for")]
        holder = f"waiting for {device}: the run in {pair.machine.path / other} (process "
        assert all(line.startswith(holder) and " measures since " in line for line in said)
        assert len(said) <= len(phases(pair.machine.events(other), "profiling"))
        num_said += len(said)
    assert num_said >= 2


@pytest.mark.long
def test_the_bill_of_a_driver_that_died_while_it_measured_the_front_again_is_a_lower_bound(pair: Pair) -> None:
    events = pair.machine.events("first")
    again = RunStarted(resumed=True, trials=3, sampler="random", energy="rapl")
    refining = next(place for place, event in enumerate(events) if isinstance(event, RunEnded)) + 1
    assert read_ledger([*events, again]).holes == ()
    holes = read_ledger([*events[:refining], again]).holes
    assert any("ended without its last reading" in hole for hole in holes)


@pytest.mark.long
def test_bounds_on_measured_joules_and_the_budget_are_kept_and_a_larger_budget_goes_on(
    pair: Pair, machine: Machine
) -> None:
    low_w, high_w = POWER_W / 4, POWER_W * 30
    machine.set_power(low_w)
    known_j = [energy_j(evaluation) for evaluation in pair.machine.evaluations("first")]
    bound_j = 3 * max(known_j) * low_w / POWER_W
    budget_j = 15 * low_w  # a quarter of a minute
    experiment = (ALONE, f"constraints=[energy_per_image <= {bound_j * 1e6:.1f} uJ]")
    finish(machine.search("run", *experiment, "search.trials=50", f"search.budget.energy={budget_j} J", **CONTENT))
    run = machine.load("run")
    assert run.ended is not None
    assert run.ended.reason == "budget"
    assert run.ledger.search_energy_j is not None
    assert run.ledger.search_energy_j <= budget_j * 1.1
    trials_before, evaluated = len(ended(run.events)), run.counts["evaluated"]

    machine.set_power(high_w)  # forty times what the bound allows for
    more = (f"search.trials={evaluated + 1}", f"search.budget.energy={budget_j * 1000} J")
    process = machine.search("run", *experiment, *more, resume=True)
    wait_for(lambda: any(event.outcome is Outcome.REFUSED for event in ended(machine.events("run"))), process)
    machine.set_power(low_w)
    finish(process)
    run = machine.load("run")
    assert run.ended is not None
    assert run.ended.reason == "trials"
    assert len(ended(run.events)) > trials_before
    assert run.ledger.holes == ()

    found_j = {evaluation.trial: energy_j(evaluation) for evaluation in machine.evaluations("run")}
    refused = [event for event in ended(run.events) if event.outcome is Outcome.REFUSED]
    assert refused
    for event in refused:
        assert found_j[event.trial] > bound_j * 0.99
        assert [phase.name for phase in event.phases] == ["profiling"]
    for event in ended(run.events):
        if event.outcome is Outcome.EVALUATED:
            assert found_j[event.trial] < bound_j * 1.01
            assert [phase.name for phase in event.phases] == ["profiling", "training"]


@pytest.mark.long
def test_a_killed_driver_and_a_counter_that_is_reset_leave_a_lower_bound_and_no_wrong_number(machine: Machine) -> None:
    process = machine.search("run", ALONE, **CONTENT)
    wait_for(lambda: machine.is_measuring("run"), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed_s = time.monotonic()
    wait_for(lambda: machine.lane.status().pid is None)
    assert time.monotonic() - killed_s < 10

    process = machine.search("run", ALONE, resume=True)
    wait_for(lambda: len(ended(machine.events("run"))) >= 1, process)
    wait_for(lambda: machine.is_measuring("run"), process)
    machine.count()
    said = finish(process)

    run = machine.load("run")
    assert run.counts["evaluated"] == 3
    check_values(machine.evaluations("run"))
    check_alone(run.events)
    assert all("MeasurementError" in event.reason for event in ended(run.events) if event.outcome is Outcome.FAILED)
    (failure,) = [event for event in run.events if isinstance(event, MeterFailed)]
    assert "it was reset" in failure.reason
    assert said.count("lower bound") == 1
    failed, died, *_ = run.ledger.holes  # and, where trainings were metered after it, that the meter did not count them
    assert failed == f"the meter failed on the way: {failure.reason}"
    assert "ended without its last reading" in died
    assert run.ledger.search_energy_j is not None
    assert 0 < run.ledger.search_energy_j <= POWER_W * run.ledger.wall_s * 1.05
