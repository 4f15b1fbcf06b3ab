"""A front ranked for another device: who enters and who leaves, and what may not be joined."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from measured_records import record
from small_run import architecture, measured_elsewhere, write_small_run

from ecoNAS.analysis.run import load_run
from ecoNAS.architecture import Deployment
from ecoNAS.cli import main
from ecoNAS.measuring.elsewhere import Elsewhere, rank_elsewhere
from ecoNAS.records import EnergyProfile

# On the board trial 2 (0.93, 9 mJ) beats trial 0 (0.90, 10 mJ) in both; trial 1 keeps the best accuracy. The
# intervals of 2 % (8.82 to 9.18 and 9.8 to 10.2) leave no doubt about the order.
BOARD = [measured_elsewhere(number, energy_mj) for number, energy_mj in enumerate((10.0, 30.0, 9.0, 50.0))]

Fails = Callable[[Sequence[EnergyProfile]], str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_run(tmp_path_factory.mktemp("runs") / "small")


def write(path: Path, records: Sequence[EnergyProfile]) -> str:
    path.write_text(json.dumps([item.model_dump(mode="json") for item in records]))
    return str(path)


@pytest.fixture
def fails(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Fails:
    """Import records that must be refused; return the one line that says why."""

    def run(records: Sequence[EnergyProfile]) -> str:
        assert main(["import", str(folder), write(tmp_path / "records.json", records)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        (line,) = captured.err.splitlines()
        return line

    return run


def ranked(folder: Path, records: Sequence[EnergyProfile]) -> Elsewhere:
    return rank_elsewhere(load_run(folder), records)


def test_the_front_there_is_another_one_than_here(folder: Path) -> None:
    found = ranked(folder, BOARD)

    assert [row.trial.number for row in found.rows] == [2, 0, 1, 3]
    assert [row.rank for row in found.rows] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert [row.trial.number for row in found.rows if row.was_on_front] == [0, 1]
    assert [row.trial.number for row in found.rows if row.is_on_front] == [2, 1]
    assert (found.enters, found.leaves, found.strangers) == ((2,), (0,), ())
    assert (found.device, found.device_name) == ("cpu:board", "A board")


def test_only_networks_that_were_measured_there_are_compared(folder: Path) -> None:
    """Without trial 1, trial 2 is on the front here too: nothing measured beats its accuracy."""
    found = ranked(folder, [BOARD[0], BOARD[2]])
    assert (found.enters, found.leaves) == ((), (0,))


def test_of_a_network_that_was_measured_twice_the_last_record_counts(folder: Path) -> None:
    found = ranked(folder, [*BOARD, measured_elsewhere(2, 20.0)])
    assert [row.trial.number for row in found.rows] == [0, 2, 1, 3]
    assert (found.enters, found.leaves) == ((2,), ())


def test_intervals_that_overlap_give_a_range_of_ranks(folder: Path) -> None:
    """10 mJ (9.8 to 10.2) and 10.3 mJ (10.094 to 10.506) overlap; 30 mJ is surely the last."""
    found = ranked(folder, [measured_elsewhere(0, 10.0), measured_elsewhere(1, 30.0), measured_elsewhere(2, 10.3)])
    assert [row.rank for row in found.rows] == [(1, 2), (1, 2), (3, 3)]


def test_a_record_without_a_candidate_is_known_by_its_architecture(folder: Path) -> None:
    workload = BOARD[0].workload
    assert workload is not None
    bare = [BOARD[0].model_copy(update={"workload": workload.model_copy(update={"candidate": ""})})]
    assert bare[0].key.architecture == architecture(0).digest
    assert [row.trial.number for row in ranked(folder, bare).rows] == [0]


def test_records_without_joules_do_not_count(folder: Path) -> None:
    failed = measured_elsewhere(3, 1.0).model_copy(update={"energy": None, "status": "invalid"})
    assert len(ranked(folder, [*BOARD[:3], failed]).rows) == 3


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"device": "cpu:other"}, ["different device", "cpu:board, cpu:other", "one by one"]),
        ({"method": "energy_counter"}, ["different method", "energy_counter, rapl"]),
        ({"scope": "package+dram"}, ["different scope"]),
        ({"deployment": Deployment(batch=1)}, ["differ in batch (1, 4)", "did not decide"]),
        ({"deployment": Deployment(batch=4, runtime="onnxruntime")}, ["differ in runtime (eager, onnxruntime)"]),
        ({"deployment": Deployment(batch=4, resolution=32)}, ["differ in resolution (32, None)"]),
    ],
)
def test_records_that_were_made_in_different_ways_share_no_front(
    fails: Fails, change: dict[str, str], parts: list[str]
) -> None:
    line = fails([*BOARD, measured_elsewhere(3, 50.0, **change)])
    assert all(part in line for part in parts), line


def test_kinds_do_not_mix_and_estimates_alone_say_nothing_of_a_device(fails: Fails) -> None:
    estimated = [record(number, None, 0.01, kind="estimated") for number in range(2)]
    assert "different kind share no front: estimated, measured" in fails([*BOARD, estimated[0]])
    assert "estimated records say nothing about a device" in fails(estimated)


def test_ways_to_run_that_the_search_decided_about_may_differ(tmp_path: Path) -> None:
    folder = write_small_run(tmp_path / "run", decided="deployment: {batch: [1, 4]}\n")
    found = ranked(folder, [*BOARD[:3], measured_elsewhere(3, 50.0, deployment=Deployment(batch=1))])
    assert len(found.rows) == 4


def test_records_of_no_network_of_the_run_are_refused(fails: Fails) -> None:
    line = fails([record(0, None, 0.01, measurement=BOARD[0].measurement)])
    assert "none of 1 records is of a network of" in line
    assert "the files hold no record with joules" in fails([])


@pytest.mark.parametrize("text", ["", "{}", '[{"version": 1}]', '{"records": []}'])
def test_a_file_of_something_else_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "strange.json").write_text(text)
    assert main(["import", str(folder), str(tmp_path / "strange.json")]) == 2
    assert main(["import", str(folder), str(tmp_path / "missing.json")]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "strange.json is no list of records" in first
    assert "missing.json cannot be read: No such file" in second


def test_the_command_says_who_enters_and_leaves_and_keeps_the_records(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    stranger = record(7, None, 0.01, device="cpu:board", method="rapl", scope="package", batch=4)
    doubtful = measured_elsewhere(3, 50.0, status="ci_unmet", reasons=("half of the interval is 9 %",))
    path = write(tmp_path / "a.json", [*BOARD[:3], doubtful, stranger])

    assert main(["import", str(folder), path]) == 0

    text = capsys.readouterr().out
    assert "4 networks on A board" in text
    assert "on that device trial 2 enters it and trial 0 leaves it" in text
    assert "Not of this run, and left out: net7." in text
    assert "* trial 3: ci_unmet; half of the interval is 9 %" in text
    rows = [line for line in text.splitlines() if " mJ" in line]
    assert [line.split() for line in rows] == [
        ["1", "2", "0.930", "±0.010", "3.00", "mJ", "9.00", "mJ", "±2.0%", "there"],
        ["2", "0", "0.900", "±0.010", "1.00", "mJ", "10.0", "mJ", "±2.0%", "here"],
        ["3", "1", "0.950", "±0.010", "2.00", "mJ", "30.0", "mJ", "±2.0%", "both"],
        ["4", "3", "0.500", "±0.010", "5.00", "mJ", "50.0", "mJ", "±2.0%", "*", "neither"],
    ]
    assert max(map(len, rows)) <= 80
    kept = json.loads((folder / "elsewhere" / "cpu-board.json").read_text())
    assert len([EnergyProfile.model_validate(item) for item in kept]) == 5


def test_the_ranking_as_json(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    halves = [write(tmp_path / "a.json", BOARD[:2]), write(tmp_path / "b.json", BOARD[2:])]

    assert main(["import", str(folder), *halves, "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert (found["enters"], found["leaves"], found["objectives"]) == ([2], [0], ["accuracy", "energy_per_image"])
    ranking = [(row["trial"], *row["rank"]) for row in found["rows"]]
    assert ranking == [(2, 1, 1), (0, 2, 2), (1, 3, 3), (3, 4, 4)]
    assert found["rows"][0]["energy"]["value_j"] == 0.009
