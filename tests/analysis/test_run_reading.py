"""Run folders are read back as trials, fronts, knees, hypervolumes and bills."""

import json
import subprocess
import sys

import moocore
import numpy as np
import pytest

from ecoNAS.analysis.run import load_run
from ecoNAS.errors import ConfigError, EcoNASError, JoulesMixError, RunFolderError
from ecoNAS.records import Outcome
from ecoNAS.run_folder import RunFolder

NAMES = ("accuracy", "energy_per_image", "flops", "params")


def raw_points(run):
    """(trial, accuracy down, joules, FLOPs, params) of evaluated trials, straight from the JSON files."""
    rows = []
    for path in (run.folder / "evaluations").glob("*.json"):
        record = json.loads(path.read_text())
        if record["outcome"] == "evaluated":
            costs = record["costs"]
            energy = record["profile"]["energy"]["value_j"]
            accuracy = record["training"]["accuracy"]["value"]
            rows.append((record["trial"], -accuracy, energy, 2 * costs["macs"], costs["params"]))
    return np.array(sorted(rows))


def test_every_outcome_is_counted(run):
    assert run.counts == {
        "evaluated": 16,
        "refused": 3,
        "duplicate": 2,
        "stopped": 2,
        "infeasible": 1,
        "failed": 1,
    }
    assert [trial.number for trial in run.trials] == list(range(25))


def test_the_front_is_what_moocore_finds_in_the_evaluation_files(run):
    points = raw_points(run)
    expected = points[moocore.is_nondominated(points[:, 1:], keep_weakly=True), 0]
    assert sorted(trial.number for trial in run.front_trials()) == sorted(expected.astype(int))
    assert {trial.number for trial in run.trials if trial.on_front} == set(expected.astype(int))


def test_the_front_is_sorted_best_first_in_its_first_objective(run):
    accuracies = [trial.scores["accuracy"].value for trial in run.front_trials()]
    assert accuracies == sorted(accuracies, reverse=True)
    params = [trial.scores["params"].value for trial in run.front_trials(["params", "accuracy"])]
    assert params == sorted(params)


def test_a_front_of_other_objectives_needs_no_retraining(run):
    points = raw_points(run)[:, [0, 1, 4]]
    expected = points[moocore.is_nondominated(points[:, 1:], keep_weakly=True), 0].astype(int)
    assert sorted(trial.number for trial in run.front_trials(["accuracy", "params"])) == sorted(expected)


def test_a_duplicate_has_the_values_of_the_trial_it_repeats_and_no_row_of_its_own(run):
    duplicate = run.trial(7)
    assert duplicate.duplicate_of == 1
    assert duplicate.scores == run.trial(1).scores
    assert not duplicate.on_front
    digests = [trial.digest for trial in run.front_trials(["params"])]
    assert len(digests) == len(set(digests))


def test_stopped_and_infeasible_trials_are_on_no_front(run):
    fronts = [run.front_trials([name]) for name in NAMES]
    outcomes = {trial.outcome for front in fronts for trial in front}
    assert outcomes == {Outcome.EVALUATED}


def test_a_network_that_breaks_a_constraint_is_on_no_front(make_run, tmp_path):
    path = make_run(tmp_path / "run")
    cheapest = load_run(path).front_trials(["params"])[0]
    folder = RunFolder(path)
    broken = {"violations": {"accuracy >= 0.9": 0.02}}
    folder.write_evaluation(cheapest.evaluation.model_copy(update=broken))
    assert load_run(path).front_trials(["params"])[0].number != cheapest.number


def test_the_knee_is_on_the_front(run):
    assert run.knee().on_front
    assert run.knee(["accuracy", "params"]).number in [
        trial.number for trial in run.front_trials(["accuracy", "params"])
    ]


def test_hypervolume_agrees_with_moocore_on_the_scale_of_the_run(run):
    hypervolume = run.hypervolume()
    ends = [(-0.99, -0.85), (1e-6, 2e-5), (5e4, 2e6), (2e3, 6e4)]  # as the search wrote them, accuracy negated
    points = raw_points(run)[:, 1:]
    scaled = np.column_stack([(points[:, i] - low) / (high - low) for i, (low, high) in enumerate(ends)])
    assert hypervolume.value == pytest.approx(moocore.hypervolume(scaled, ref=[1.1] * 4))
    assert hypervolume.reference == 1.1
    assert hypervolume.ideal["accuracy"] == 0.99
    assert hypervolume.nadir["accuracy"] == 0.85
    assert hypervolume.source == "first evaluations"


def test_the_hypervolume_curve_has_a_value_for_each_ended_trial_and_never_falls(run):
    numbers, values = zip(*run.hypervolume_curve(), strict=True)
    assert list(numbers) == list(range(25))
    assert list(values) == sorted(values)
    assert values[-1] == run.hypervolume().value
    assert values[4] == values[5]  # a refused trial adds nothing


def test_there_is_no_hypervolume_before_its_scale_is_fixed(running_run):
    assert running_run.hypervolume() is None
    assert running_run.hypervolume_curve() == ()


def test_a_data_frame_carries_units_and_says_what_is_estimated(run):
    frame = run.front()
    assert list(frame.columns) == [
        "trial",
        "accuracy",
        "accuracy_standard_error",
        "energy_per_image_j (estimated)",
        "flops",
        "params",
        "architecture",
        "digest",
    ]
    assert list(frame["trial"]) == [trial.number for trial in run.front_trials()]
    assert frame["flops"].dtype == np.int64


def test_measured_joules_have_a_standard_error_and_no_label(measured_run):
    columns = list(measured_run.front().columns)
    assert "energy_per_image_j" in columns
    assert "energy_per_image_standard_error_j" in columns


def test_a_trial_under_way_is_listed_as_running(running_run):
    trial = running_run.trial(10)
    assert trial.state == "running"
    assert trial.outcome is None
    assert running_run.ended is None
    assert sum(running_run.counts.values()) == 10


def test_an_empty_run_has_an_empty_front_and_no_knee(empty_run):
    assert empty_run.front_trials() == ()
    assert empty_run.front().empty
    assert empty_run.knee() is None
    assert empty_run.ledger.search_energy_j is None


def test_an_unknown_trial_is_answered_with_the_range_there_is(run, empty_run):
    with pytest.raises(RunFolderError, match="has no trial 99; it holds trials 0 to 24"):
        run.trial(99)
    with pytest.raises(RunFolderError, match="trials 0 to 0"):
        empty_run.trial(7)


def test_an_unknown_objective_is_answered_with_the_nearest_known_one(run):
    with pytest.raises(EcoNASError, match="did you mean 'accuracy'"):
        run.front_trials(["accurcy"])
    with pytest.raises(EcoNASError, match="holds 'latency'; those that do: accuracy, "):
        run.front_trials(["latency"])
    with pytest.raises(EcoNASError, match="no objective was named"):
        run.front_trials([])


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="no such run folder"):
        load_run(tmp_path / "missing")
    with pytest.raises(RunFolderError, match="is not a run folder"):
        load_run(tmp_path)


def test_a_broken_experiment_is_refused_with_its_line(make_run, tmp_path):
    path = make_run(tmp_path / "run", trials=1)
    with (path / "experiment.yaml").open("a") as file:
        file.write("objectivs: [accuracy]\n")
    with pytest.raises(ConfigError, match=r"experiment\.yaml:\d+: objectivs"):
        load_run(path)


def test_measured_and_estimated_joules_share_no_front(make_run, tmp_path):
    path = make_run(tmp_path / "run", trials=3)
    other = load_run(make_run(tmp_path / "other", trials=3, measured=True))
    folder = RunFolder(path)
    folder.write_evaluation(other.trial(0).evaluation)
    with pytest.raises(JoulesMixError, match="share no front"):
        load_run(path)


def test_a_torn_last_event_and_missing_environment_do_not_stop_reading(make_run, tmp_path):
    path = make_run(tmp_path / "run", trials=10)
    with (path / "events.jsonl").open("a") as file:
        file.write('{"version": 1, "type": "trial_en')
    (path / "environment.json").unlink()
    (path / "split.json").unlink()
    torn = load_run(path)
    assert len(torn.trials) == 10
    assert torn.environment == {}
    assert torn.split_sizes == {}


def test_a_model_whose_weights_were_not_kept_is_refused(run):
    with pytest.raises(RunFolderError, match=r"trial 2 \(refused\) left no weights; on the front: \d+"):
        run.model(2)


def test_a_model_computes_what_its_weights_say(make_run, tmp_path):
    import torch

    from ecoNAS.models.network import build_network
    from ecoNAS.training.checkpoint import save_weights

    path = make_run(tmp_path / "run", trials=2)
    trial = load_run(path).trial(1)
    network = build_network(trial.evaluation.candidate.architecture, trial.evaluation.problem).eval()
    save_weights(network, path / trial.evaluation.training.weights_file)
    x_bchw = torch.rand(trial.evaluation.problem.input_shape(batch=3))
    with torch.no_grad():
        assert torch.equal(load_run(path).model(1)(x_bchw), network(x_bchw))


def test_reading_a_run_and_drawing_its_table_needs_neither_torch_nor_optuna_nor_pandas(run_path):
    code = f"""
import sys
from ecoNAS.analysis.run import load_run
from ecoNAS.analysis.tables import front_json, print_front, write_front_csv
from ecoNAS.analysis.summary import summary
run = load_run({str(run_path)!r})
print_front(run)
summary(run), front_json(run), write_front_csv(run)
print(sorted({{"torch", "optuna", "pandas", "plotly", "ray", "timm", "sklearn"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
