"""`econas front`, `show` and `report`, as a user types them."""

import json

import pytest

from ecoNAS.cli import main


def test_front_prints_a_table_and_what_it_cost(run_path, capsys):
    assert main(["front", str(run_path)]) == 0
    text = capsys.readouterr().out
    assert "Front of digits-20261120-231500" in text
    assert "The search took" in text


def test_front_compares_by_other_objectives_as_json(run_path, capsys):
    assert main(["front", str(run_path), "--objectives", "accuracy, macs", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [objective["name"] for objective in document["objectives"]] == ["accuracy", "macs"]


def test_show_draws_the_knee(run_path, run, capsys):
    assert main(["show", str(run_path), "knee"]) == 0
    text = capsys.readouterr().out
    assert f"Trial {run.knee().number} of" in text
    assert "stage 1" in text


def test_show_prints_a_trial_as_json(run_path, capsys):
    assert main(["show", str(run_path), "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["outcome"] == "refused"


def test_report_says_what_was_found_and_on_its_last_line_where_it_is(run_path, tmp_path, capsys):
    assert main(["report", str(run_path), "--out", str(tmp_path / "r.html")]) == 0
    paragraph, last = capsys.readouterr().out.strip().rsplit("\n", 1)
    assert "The front holds" in paragraph
    assert last == str(tmp_path / "r.html")
    assert (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["front", "/nowhere"], "no such run folder"),
        (["front", "RUN", "--objectives", "accurcy"], "did you mean 'accuracy'"),
        (["show", "RUN", "99"], "it holds trials 0 to 24"),
        (["show", "RUN", "best"], "give a number, or 'knee'"),
        (["report", "RUN", "--out", "/nowhere/x.html"], "cannot be written"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, message, run_path, capsys):
    given = [str(run_path) if argument == "RUN" else argument for argument in arguments]
    assert main(given) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
