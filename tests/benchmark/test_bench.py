"""Samplers on a table: what is paid, what is read, and that ours finds the front that random sampling does not."""

import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml
from tables import SPEC, table, write

from ecoNAS.benchmark.compare import Judge, checkpoints, compare, paired
from ecoNAS.benchmark.lookup import Way, run_once
from ecoNAS.benchmark.rivals import RIVALS
from ecoNAS.cli import main

BENCH = Path(__file__).parents[3] / "shared/bench"


@pytest.mark.parametrize("name", sorted(RIVALS))
def test_a_search_spends_its_budget_on_distinct_rows_and_pays_for_measurements(name: str) -> None:
    trace = run_once(table(missing=15), RIVALS[name], 0, Way(20))
    assert len(set(trace.rows)) == len(trace.rows)
    assert trace.ended == "budget"
    assert list(trace.costs) == sorted(trace.costs)
    assert trace.costs[-1] <= 20
    assert trace.measured >= len(trace.rows)
    # Each training is 1 and each measured candidate 0.01; the next training would be too much.
    assert len(trace.rows) + 0.01 * trace.measured == pytest.approx(trace.costs[-1], abs=0.2)
    assert len(trace.rows) + 0.01 * trace.measured > 20 - 1.01 - 1e-6


@pytest.mark.parametrize("name", ["auto", "forest", "local", "peeling", "random"])
def test_a_search_repeats_itself_from_the_same_seed(name: str) -> None:
    assert run_once(table(), RIVALS[name], 3, Way(16)).rows == run_once(table(), RIVALS[name], 3, Way(16)).rows


def test_a_search_of_everything_finds_the_whole_front_and_its_hypervolume() -> None:
    found = table(missing=60)
    (search,) = compare(found, ["random"], 1, Way(200)).searches
    assert len(search.trace.rows) == 40
    assert search.readings[-1].hv_frac == pytest.approx(1.0)
    assert search.readings[-1].front_points == Judge(found).num_front


def test_the_cost_aware_sampler_is_ahead_of_random_sampling() -> None:
    ends = {
        name: [search.readings[-1].hv_frac for search in compare(table(), [name], 4, Way(25)).searches]
        for name in ("auto", "random")
    }
    assert np.mean(ends["auto"]) > 0.97
    assert paired(ends["auto"], ends["random"]).low > 0


def test_a_reading_counts_what_was_known_at_that_cost() -> None:
    found = table()
    trace = run_once(found, RIVALS["random"], 0, Way(30))
    judge = Judge(found)
    assert judge.read("random", 0, trace, 0.5).hv_frac == 0.0
    halves = [judge.read("random", 0, trace, cost).hv_frac for cost in (5, 15, 30)]
    assert halves == sorted(halves)


def test_checkpoints_end_with_the_budget() -> None:
    assert checkpoints(100) == (25, 50, 100)
    assert checkpoints(30) == (25, 30)
    assert checkpoints(10) == (10,)


def test_searches_side_by_side_find_what_they_find_alone() -> None:
    alone, beside = (compare(table(), ["auto", "random"], 2, Way(12), processes=count) for count in (1, 2))
    assert [search.trace.rows for search in beside.searches] == [search.trace.rows for search in alone.searches]
    assert [(search.sampler, search.seed) for search in beside.searches] == [
        ("auto", 0),
        ("random", 0),
        ("auto", 1),
        ("random", 1),
    ]


@pytest.mark.parametrize("workers", [pytest.param(4, marks=pytest.mark.long), 16])
def test_workers_on_a_virtual_clock_spend_the_budget_faster(workers: int) -> None:
    alone, many = (run_once(table(), RIVALS["auto"], 0, Way(40, count)) for count in (1, workers))
    assert len(many.rows) == pytest.approx(len(alone.rows), abs=1)
    assert len(set(many.rows)) == len(many.rows)
    assert many.costs[-1] <= 40
    assert 0.9 * alone.duration / workers < many.duration < 2 * alone.duration / workers


def test_a_paired_difference_has_students_interval() -> None:
    gap = paired([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])
    assert gap.mean == 2.0
    assert gap.high - gap.mean == pytest.approx(4.3027 / np.sqrt(3), rel=1e-4)  # t(0.975, 2) = 4.3027


def test_the_command_prints_tables_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, yaml.safe_dump(SPEC))
    assert main(["bench", str(path), "--sampler", "random,local", "--budget", "12", "--seeds", "2", "--jobs", "1"]) == 0
    shown = capsys.readouterr()
    assert "[4/4] local, seed 1" in shown.err
    for word in ("hv_frac after so many trainings", "regret", "random minus the others", "33 on the true front"):
        assert word in shown.out
    assert main(["bench", str(path), "--sampler", "random", "--budget", "12", "--seeds", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["spec"] == str(path)
    assert [(row["sampler"], row["seed"], row["cost"]) for row in found["results"]] == [
        ("random", 0, 12.0),
        ("random", 1, 12.0),
    ]
    assert {"hv_frac", "useful_frac"} <= set(found["results"][0])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sampler", "randm"], "unknown sampler 'randm'"),
        (["--budget", "0.5"], "must be at least 1"),
        (["--seeds", "0"], "must be at least 1"),
        (["--jobs", "0"], "must be at least 1"),
        (["--workers", "0"], "must be at least 1"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(["bench", str(write(tmp_path, yaml.safe_dump(SPEC))), *words]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.skipif(not BENCH.exists(), reason="../shared/bench is not here")
@pytest.mark.parametrize("name", ["nb201_cifar100.yaml", "nb201_cifar100_4obj.yaml"])
def test_the_public_benchmark_is_read_and_its_true_hypervolume_is_the_published_one(name: str) -> None:
    from ecoNAS.evaluation.tabular import read_table

    found = read_table(BENCH / name)
    assert len(found) == 15625
    if name == "nb201_cifar100.yaml":
        assert Judge(found).hypervolume == pytest.approx(1.164838, abs=1e-6)
        assert Judge(found).num_front == 27


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes as Linux lists them")
def test_searches_of_a_killed_command_end_soon() -> None:
    command = [sys.executable, "-m", "ecoNAS", "bench", "synthetic:large", "--seeds", "4", "--jobs", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    group, deadline = process.pid, time.monotonic() + 60

    def living() -> list[str]:
        found = []
        for file in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                state, _, its_group, *_ = file.read_text().rpartition(")")[2].split()
                found += [file.parent.name] if int(its_group) == group and state != "Z" else []
        return found

    while len(living()) < 4 and time.monotonic() < deadline:  # itself, two searches and what tracks their resources
        time.sleep(0.2)
    process.kill()
    process.wait()
    while living() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not living()
