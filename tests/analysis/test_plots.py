"""What the figures show, read back from plotly."""

import pytest

from ecoNAS.analysis import plots
from ecoNAS.errors import EcoNASError


def trace(figure, name):
    return next(trace for trace in figure.data if trace.name == name)


def test_the_front_figure_shows_each_feasible_network_once(run):
    figure = plots.front_figure(run)
    shown = [trace(figure, name) for name in ("dominated", "on the front", "knee")]
    assert [len(trace.x) for trace in shown] == [16 - len(run.front_trials()), len(run.front_trials()) - 1, 1]
    assert figure.layout.xaxis.title.text == "energy per image (estimated)"
    assert figure.layout.yaxis.title.text == "accuracy"
    assert figure.layout.xaxis.ticksuffix == "J"


def test_error_bars_are_standard_errors(run):
    knee = run.knee()
    bars = trace(plots.front_figure(run), "knee").error_y.array
    assert list(bars) == [knee.scores["accuracy"].standard_error]


def test_other_axes_are_chosen_by_name_and_unknown_ones_refused(run):
    figure = plots.front_figure(run, x="macs", y="params")
    assert figure.layout.xaxis.title.text == "macs"
    assert list(trace(figure, "knee").x) == [run.knee().scores["macs"].value]
    with pytest.raises(EcoNASError, match="unknown objective"):
        plots.front_figure(run, x="speed")


def test_the_line_joins_what_nothing_beats_on_the_two_axes(run):
    plot = plots.read_front_plot(run)
    line = plot.line("params", "accuracy")
    params = [plot.axes["params"].values[index] for index in line]
    accuracies = [plot.axes["accuracy"].values[index] for index in line]
    assert params == sorted(params)
    assert accuracies == sorted(accuracies)  # more parameters must buy accuracy
    assert {plot.trials[index].number for index in line} == {
        trial.number for trial in run.front_trials(["accuracy", "params"])
    }


def test_hover_text_shows_trial_and_architecture(run):
    knee = run.knee()
    text = trace(plots.front_figure(run), "knee").text[0]
    assert f"trial {knee.number}" in text
    assert knee.evaluation.candidate.architecture.describe() in text


def test_the_hypervolume_figure_has_a_step_for_each_ended_trial(run, running_run):
    figure = plots.hypervolume_figure(run)
    assert len(figure.data[0].y) == 25
    assert figure.data[0].y[-1] == run.hypervolume().value
    assert len(plots.hypervolume_figure(running_run).data[0].y) == 0


def test_the_spending_figure_says_that_joules_are_estimated(run, measured_run):
    titles = [note.text for note in plots.spending_figure(run).layout.annotations]
    assert titles == ["seconds of workers", "joules (estimated)"]
    assert "estimated" not in plots.spending_figure(measured_run).to_json()


def test_figures_of_an_empty_run_are_empty_and_raise_nothing(empty_run):
    for figure in (plots.front_figure, plots.hypervolume_figure, plots.spending_figure):
        assert not [x for trace in figure(empty_run).data for x in (trace.x or ())]
