"""One trial, whatever became of it."""

import json

import pytest
from rich.console import Console

from ecoNAS.analysis.evaluation_view import sparkline
from ecoNAS.analysis.trial_view import find_trial, print_trial, trial_view, trial_view_json
from ecoNAS.errors import RunFolderError


def printed(run, number):
    console = Console(width=80, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(trial_view(run, run.trial(number)))
    return capture.get()


def test_an_evaluated_trial_shows_scores_with_intervals_costs_and_drawing(run):
    text = printed(run, run.knee().number)
    assert "evaluated, on the front, the knee" in text
    assert "validation n=360" in text
    assert "energy_per_image (estimated)" in text
    assert "accuracy by epoch" in text
    assert "to spare" in text
    assert "┌" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_refused_trial_shows_why_and_what_was_proposed(run):
    text = printed(run, 2)
    assert "reason: params 84,120 > 60e3" in text
    assert "broken by 40.2%" in text
    assert "stem.width" in text


def test_other_outcomes_are_named(run, running_run):
    assert "duplicate of trial 1" in printed(run, 7)
    assert "stopped at rung 1" in printed(run, 9)
    assert "trainable                     no" in printed(run, 11)
    assert "MemoryError (see logs/13.log)" in printed(run, 13)
    assert "Trial 10 of running: running" in printed(running_run, 10)


def test_the_json_of_a_trial_holds_its_record_without_predictions(run):
    document = json.loads(json.dumps(trial_view_json(run, run.trial(0))))
    assert document["evaluation"]["costs"]["params"] > 0
    assert "validation_predictions" not in document["evaluation"]["training"]
    assert trial_view_json(run, run.trial(2))["evaluation"] is None


def test_a_trial_is_found_by_number_or_as_the_knee(run, empty_run):
    assert find_trial(run, "7").number == 7
    assert find_trial(run, "knee").number == run.knee().number
    with pytest.raises(RunFolderError, match="'best' is no trial; give a number, or 'knee'"):
        find_trial(run, "best")
    with pytest.raises(RunFolderError, match="has no knee"):
        find_trial(empty_run, "knee")


def test_printing_goes_to_standard_output(run, capsys):
    print_trial(run, run.trial(0))
    assert capsys.readouterr().out.startswith("Trial 0 of ")


def test_a_sparkline_rises_with_its_values():
    assert sparkline([0, 1, 2, 7]) == "▁▂▃█"
    assert sparkline([3, 3]) == "▁▁"
