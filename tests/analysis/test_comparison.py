"""A searched network beside ready models: who is the baseline, and when the search is repaid, by hand."""

import json
from dataclasses import replace

import pytest

from ecoNAS.analysis.comparison import compare, compare_knee, comparison_json
from ecoNAS.analysis.report import render_report
from ecoNAS.analysis.run import load_run
from ecoNAS.errors import RunFolderError
from ecoNAS.joules import EstimatedJoules, MeasuredJoules
from ecoNAS.records import ReadyModel
from ecoNAS.run_folder import RunFolder


def joules(value, spread=0.0, kind=MeasuredJoules, device="GPU-1"):
    low, high = value - spread, value + spread
    return kind(value_j=value, low_j=low, high_j=high, method="nvml", scope="gpu", device=device)


def with_bill(run, **changes):
    """The run with a bill of 1000 measured joules, or as `changes` says."""
    whole = {"search_energy_j": 1000.0, "interval_j": None, "kind": "measured", "is_metered": True, "num_unpriced": 0}
    billed = replace(run)
    billed.__dict__["ledger"] = replace(run.ledger, **whole | changes)
    return billed


def records(run, energy, accuracy):
    evaluation = run.knee().evaluation
    score = evaluation.training.accuracy.model_copy(update={"value": accuracy, "standard_error": 0.01})
    return {
        "costs": evaluation.costs,
        "profile": evaluation.profile.model_copy(update={"energy": energy}),
        "training": evaluation.training.model_copy(update={"accuracy": score}),
    }


def searched(run, energy, accuracy=0.9):
    knee = run.knee()
    evaluation = knee.evaluation.model_copy(update=records(run, energy, accuracy))
    return replace(knee, number=7, evaluation=evaluation)


def ready(run, name, energy, accuracy=0.95):
    evaluation = run.knee().evaluation
    times = {"started": evaluation.started, "ended": evaluation.ended}
    return ReadyModel(name=name, **records(run, energy, accuracy), **times)


@pytest.mark.parametrize(
    ("chosen", "baseline", "verdict"),
    [
        # 1000 J over 5 - 3 = 2 J; with 1 % of the bill: soonest 990 / (5.5 - 2.5), latest 1010 / (4.5 - 3.5).
        (
            joules(3.0, 0.5),
            joules(5.0, 0.5),
            "Trial 7 repays the search after 500 images (330 to 1.01 k): it takes 40 % fewer joules per image than "
            "resnet. The bill is 1.00 kJ, the whole search (measured).",
        ),
        # 0.6 J of 5 J are 12 %.
        (joules(5.6, 0.1), joules(5.0, 0.1), "Trial 7 never repays the search: it takes 12 % more joules per image"),
        (joules(5.0), joules(5.0), "Trial 7 never repays the search: it takes as many joules per image as resnet."),
        # 1000 / 0.5; soonest 990 / (4 - 2.5).
        (
            joules(3.0, 0.5),
            joules(3.5, 0.5),
            "Trial 7 repays the search after 2.00 k images, at the earliest 660, and may never do so, since the "
            "intervals overlap: it takes 14 % fewer joules per image than resnet.",
        ),
        # Soonest 990 / (3.5 - 3).
        (
            joules(3.5, 0.5),
            joules(3.0, 0.5),
            "Trial 7 may never repay the search: it takes 17 % more joules per image than resnet; since the intervals "
            "overlap, it could, at the earliest after 1.98 k images.",
        ),
    ],
)  # fmt: skip
def test_the_verdict_says_when_the_search_is_repaid_and_what_that_rests_on(measured_run, chosen, baseline, verdict):
    run = with_bill(measured_run)

    found = compare(run, [ready(run, "resnet", baseline)], searched(run, chosen))

    assert found.verdict.startswith(verdict)


def test_estimated_joules_are_called_so_with_what_their_bill_covers(run):
    # 1200 J over 3 mJ - 2 mJ: 1.2 million images; 900 J and 1700 J are the bounds of the bill.
    energies = [joules(value, kind=EstimatedJoules) for value in (0.002, 0.003)]
    run = with_bill(run, search_energy_j=1200.0, interval_j=(900.0, 1700.0), kind="estimated", is_metered=False)

    found = compare(run, [ready(run, "resnet", energies[1])], searched(run, energies[0]))

    assert found.verdict == (
        "Trial 7 repays the search after 1.20 M images (900 k to 1.70 M): it takes 33 % fewer estimated joules per "
        "image than resnet. The bill is 1.20 kJ, training compute only (estimated)."
    )
    assert found.heading == "joules per image (estimated)"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"holes": ("the meter failed on the way: GPU lost",)},
            "search (measured, a lower bound). It took more than that: the meter failed on the way: GPU lost.",
        ),
        ({"is_metered": False, "num_unpriced": 1}, "training only (measured, 1 training not priced)."),
    ],
)
def test_where_the_bill_is_a_lower_bound_the_payback_is_one_too(measured_run, changes, words):
    run = with_bill(measured_run, **changes)

    found = compare(run, [ready(run, "resnet", joules(5.0))], searched(run, joules(3.0)))

    assert "after at least 500 images" in found.verdict
    assert found.verdict.endswith(words)


def test_a_metered_bill_has_the_interval_of_the_method_floor_of_the_experiment(measured_run):
    protocol = replace(measured_run.config.energy.protocol, method_floor=0.05)
    energy = measured_run.config.energy.model_copy(update={"protocol": protocol})
    run = with_bill(replace(measured_run, config=measured_run.config.model_copy(update={"energy": energy})))

    assert compare(run, [], searched(run, joules(3.0))).bill.interval_j == (950.0, 1050.0)


def test_the_baseline_is_the_cheapest_of_those_at_least_as_accurate(measured_run):
    run = with_bill(measured_run)
    models = [
        ready(run, "accurate", joules(9.0), accuracy=0.99),
        ready(run, "as_good", joules(6.0), accuracy=0.9),
        ready(run, "worse", joules(1.0), accuracy=0.899),
    ]

    found = compare(run, models, searched(run, joules(3.0), accuracy=0.9))

    assert found.baseline == "as_good"
    assert [(row.name, row.is_searched, row.is_baseline) for row in found.rows] == [
        ("trial 7", True, False),
        ("accurate", False, False),
        ("as_good", False, True),
        ("worse", False, False),
    ]


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        ([], "no ready model was evaluated yet; evaluate one: econas compare"),
        ([0.8], "is at least as accurate as trial 7; evaluate a more accurate one: econas compare"),
    ],
)
def test_without_a_baseline_the_verdict_says_what_to_do(measured_run, accuracies, words):
    run = with_bill(measured_run)

    found = compare(run, [ready(run, "small", joules(1.0), value) for value in accuracies], searched(run, joules(3.0)))

    assert (found.baseline, found.payback) == (None, None)
    assert words in found.verdict
    assert "--zoo" in found.verdict


@pytest.mark.parametrize(
    ("energy", "words"),
    [
        (joules(5.0, device="GPU-2"), "joules of different device do not mix, 'GPU-2' and 'GPU-1'; delete baselines/"),
        (joules(5.0, kind=EstimatedJoules), "joules of different kind do not mix, 'estimated' and 'measured'"),
        (None, "its joules could not be measured"),
    ],
)
def test_ready_models_whose_joules_do_not_mix_are_left_out_and_named(measured_run, energy, words):
    run = with_bill(measured_run)

    found = compare(run, [ready(run, "far", energy), ready(run, "near", joules(6.0))], searched(run, joules(3.0)))

    assert found.baseline == "near"
    assert len(found.notes) == 1
    assert found.notes[0].startswith(f"far was left out of the payback: {words}")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"search_energy_j": None, "kind": None, "is_metered": False}, "its own joules are not known"),
        ({"kind": "estimated"}, "those of the search are estimated and those per image measured"),
    ],
)
def test_a_bill_that_is_not_known_or_of_another_kind_is_not_divided(measured_run, changes, words):
    run = with_bill(measured_run, **changes)

    found = compare(run, [ready(run, "resnet", joules(5.0))], searched(run, joules(3.0)))

    assert found.payback is None
    assert words in found.verdict


@pytest.mark.parametrize(("number", "state"), [(2, "refused"), (9, "stopped"), (11, "infeasible"), (13, "failed")])
def test_a_trial_that_was_not_trained_in_full_is_not_compared(run, number, state):
    with pytest.raises(RunFolderError, match=f"trial {number} was {state} and is no trained network to compare: "):
        compare(run, [], run.trial(number))


def test_images_that_are_never_reached_are_null_as_json(measured_run):
    run = with_bill(measured_run)
    found = compare(run, [ready(run, "resnet", joules(3.0))], searched(run, joules(5.0)))

    document = json.loads(json.dumps(comparison_json(found), allow_nan=False))

    assert document["payback"] == {"images": None, "low": None, "high": None, "saving_j": -2.0, "is_never": True}
    assert document["networks"][1]["energy_per_image_j"] == 3.0


def test_the_report_shows_ready_models_only_where_there_are_any(make_run, tmp_path):
    run = load_run(make_run(tmp_path / "run"))
    assert compare_knee(run) is None
    assert "Against ready models" not in render_report(run)

    energy = run.knee().evaluation.profile.energy
    RunFolder(run.folder).write_ready_model(ready(run, "resnet<10>", energy * 2, accuracy=1.0))
    page = render_report(run)

    assert "Against ready models" in page
    assert "joules per image (estimated)" in page
    assert '<span class="badge">baseline</span>resnet&lt;10&gt;' in page
    assert "repays the search after at least" in page  # one training has no joules
    assert "training compute only (estimated, 1 training not priced)" in page


def test_a_run_without_front_has_no_comparison(make_run, tmp_path, run):
    path = make_run(tmp_path / "run", trials=0, ends=False)
    RunFolder(path).write_ready_model(ready(run, "resnet", joules(1.0)))

    assert compare_knee(load_run(path)) is None


def test_the_accuracy_that_is_compared_is_the_mean_of_the_trainings_as_on_the_front(measured_run):
    trial = searched(measured_run, joules(3.0), 0.80)
    again = [
        trial.evaluation.training.model_copy(update=records(measured_run, None, value)["training"].__dict__)
        for value in (0.76, 0.75)
    ]
    trial = replace(trial, evaluation=trial.evaluation.model_copy(update={"replicates": tuple(again)}))

    found = compare(with_bill(measured_run), [ready(measured_run, "resnet", joules(5.0), 0.78)], trial)

    assert found.rows[0].accuracy.value == pytest.approx(0.77)
    assert found.baseline == "resnet"
