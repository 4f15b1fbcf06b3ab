"""The front as a table, as JSON and as CSV."""

import csv
import json

import pytest
from rich.console import Console

from ecoNAS.analysis.run import load_run
from ecoNAS.analysis.tables import front_json, front_view, print_evaluation, print_front, write_front_csv


def printed(run, width, names=None):
    console = Console(width=width, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(front_view(run, names, width))
    return capture.get()


def test_the_table_fits_80_columns_with_one_line_a_network(run):
    lines = printed(run, 80).splitlines()
    assert max(map(len, lines)) <= 80
    for trial in run.front_trials():
        row = next(line for line in lines if line.replace("*", " ").split()[:1] == [str(trial.number)])
        assert f"{trial.scores['accuracy'].value:.3f} ±" in row


def test_the_table_says_that_joules_are_estimated_and_marks_the_knee(run):
    text = printed(run, 80)
    assert "(estimated)" in text
    assert f"* {run.knee().number} " in text
    assert "25 trials: 16 evaluated, 3 refused" in text
    assert "hypervolume" in text


def test_measured_joules_are_not_called_estimated(measured_run):
    assert "estimated" not in printed(measured_run, 80)


def test_a_wide_table_writes_architectures_out(run):
    knee = run.knee().evaluation.candidate.architecture
    assert knee.describe() in printed(run, 150)
    assert knee.describe() not in printed(run, 80)


def test_a_table_of_other_objectives_names_them_and_has_no_hypervolume(run):
    text = printed(run, 80, ["accuracy", "macs"])
    assert "in accuracy, macs" in text
    assert "hypervolume" not in text


def test_an_empty_front_says_why(empty_run, make_run, tmp_path):
    assert "no network was evaluated yet" in printed(empty_run, 80)
    path = make_run(tmp_path / "refused", trials=6)
    events = (path / "events.jsonl").read_text().splitlines(keepends=True)
    refused = [line for line in events if '"trial":2,' in line or '"trial":5,' in line or "run_started" in line]
    (path / "events.jsonl").write_text("".join(refused))
    text = " ".join(printed(load_run(path), 80).split())
    assert "2 of 2 trials ended with: params 84,120 > 60e3" in text


def test_printing_goes_to_standard_output(run, capsys):
    print_front(run)
    assert "Front of digits-20261120-231500" in capsys.readouterr().out


def test_one_record_is_printed_without_a_run(run, capsys):
    print_evaluation(run.knee().evaluation, run.objectives)
    text = capsys.readouterr().out
    assert text.startswith("evaluated")
    assert "energy_per_image (estimated)" in text
    assert "stage 1" in text


def test_the_json_has_exactly_these_keys_and_survives_a_round_trip(run):
    document = json.loads(json.dumps(front_json(run), allow_nan=False))
    assert set(document) == {"run", "objectives", "trials", "hypervolume", "counts", "ledger"}
    assert document["run"] == "digits-20261120-231500"
    assert document["objectives"][1] == {
        "name": "energy_per_image",
        "direction": "minimize",
        "unit": "J",
        "kind": "estimated",
    }
    assert set(document["trials"][0]) == {
        "number",
        "outcome",
        "digest",
        "values",
        "standard_errors",
        "on_front",
        "params",
    }
    assert set(document["hypervolume"]) == {"value", "reference", "ideal", "nadir", "source"}
    keys = {"search_energy_j", "kind", "is_metered", "holes", "wall_s", "training_s", "rows", "carbon_g", "price"}
    assert set(document["ledger"]) == keys
    assert document["ledger"]["kind"] == "estimated"
    assert document["counts"]["evaluated"] == 16


def test_the_json_marks_the_front_and_keeps_what_refused_trials_lack_empty(run):
    trials = {trial["number"]: trial for trial in front_json(run)["trials"]}
    assert sorted(number for number, trial in trials.items() if trial["on_front"]) == sorted(
        trial.number for trial in run.front_trials()
    )
    assert trials[2]["outcome"] == "refused"
    assert trials[2]["values"] == {}
    assert trials[0]["standard_errors"]["flops"] == 0.0
    assert trials[0]["standard_errors"]["energy_per_image"] is None
    assert trials[0]["params"]["stem.width"] == 8


def test_the_json_of_a_run_that_goes_on_holds_ended_trials_and_no_hypervolume(running_run, empty_run):
    document = front_json(running_run)
    assert [trial["number"] for trial in document["trials"]] == list(range(10))
    assert document["hypervolume"] is None
    ledger = front_json(empty_run)["ledger"]
    assert (ledger["search_energy_j"], ledger["kind"], ledger["wall_s"], ledger["rows"]) == (None, None, 0.0, [])


def test_the_csv_holds_the_front_with_units(run):
    with write_front_csv(run).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["trial"]) for row in rows] == [trial.number for trial in run.front_trials()]
    joules = [float(row["energy_per_image_j (estimated)"]) for row in rows]
    assert joules == pytest.approx([trial.scores["energy_per_image"].value for trial in run.front_trials()])


def test_the_csv_of_an_empty_front_is_its_heading(empty_run):
    assert write_front_csv(empty_run).read_text().count("\n") == 1
