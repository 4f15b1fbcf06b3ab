"""A run in words."""

import re
from dataclasses import replace
from typing import get_args

from ecoNAS.analysis.run import load_run
from ecoNAS.analysis.summary import standing, summary
from ecoNAS.events import RunEnded


def test_the_summary_says_what_was_found_and_what_it_cost(run):
    text = summary(run)
    best = max(run.front_trials(), key=lambda trial: trial.scores["accuracy"].value)
    assert f"The front holds {len(run.front_trials())} of 16 feasible networks." in text
    assert f"trial {best.number}: {best.scores['accuracy'].value:.1%} ± " in text
    assert f"The knee is trial {run.knee().number}" in text
    assert re.search(r"Members take [\d.]+ k to [\d.]+ k MACs per image\.", text)
    assert re.search(r"The search took [\d.]+ s, with [\d.]+ s of training and [\d.]+ mJ", text)
    assert text.endswith("training compute only (estimated, 1 training not priced).")
    assert "\n" not in text


def test_the_summary_of_a_front_of_one_names_it_once(make_run, tmp_path):
    one = load_run(make_run(tmp_path / "one", trials=1))
    assert "Trial 0 is both the most accurate and the knee" in summary(one)
    assert "Members take" not in summary(one)


def test_the_summary_of_an_empty_run_finds_nothing_and_says_so(empty_run):
    assert summary(empty_run).startswith("The front is empty: no network was evaluated yet.")


def test_the_standing_tells_an_ended_run_from_one_that_says_nothing(run, running_run):
    assert standing(run) == "It ended with the number of trials that was asked for."
    assert standing(running_run).startswith("It stopped without a word; its last sign of life is of 2026-11-20")


def test_every_way_to_end_has_its_words(run):
    for reason in get_args(RunEnded.model_fields["reason"].annotation):
        ended = replace(run, events=(*run.events, RunEnded(reason=reason, detail="Because.")))
        assert standing(ended).endswith(". Because.")
