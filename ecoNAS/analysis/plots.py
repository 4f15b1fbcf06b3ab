"""Plotly figures of a run: the front on two axes, the hypervolume over the search, where time and joules went.

Figures are returned, not shown: a notebook shows them, `report` puts them into a page. Axis titles say how joules are
known.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ecoNAS import pareto
from ecoNAS.analysis.quantities import format_quantity, format_score, title
from ecoNAS.analysis.run import Run
from ecoNAS.analysis.trials import Trial, comparable
from ecoNAS.evaluation.objectives import OBJECTIVES, Objective

BLUE, ORANGE, LIGHT, GREY, INK = "#1f5f8b", "#d9622b", "#efb89b", "#b9c2cb", "#22303c"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
_LINES = {"showline": True, "linecolor": "#cfd6dc", "gridcolor": "#eef1f4", "zeroline": False, "automargin": True}
LOG_FROM = 12.0  # an axis that spans more than this ratio is logarithmic


@dataclass(frozen=True, slots=True)
class Axis:
    """One quantity of all plotted trials, in their order.

    Attributes:
        errors: Standard errors; None where they are zero or not known.
        suffix: The unit, which stands behind a tick and its SI prefix.
    """

    name: str
    direction: pareto.Direction
    title: str
    suffix: str
    values: list[float]
    errors: list[float] | None

    @property
    def layout(self) -> dict[str, Any]:  # Any: plotly's JSON
        """The axis as plotly wants it."""
        low, high = min(self.values, default=0.0), max(self.values, default=0.0)
        look = {"title": {"text": self.title}}
        if low > 0 and high / low > LOG_FROM:
            marks = _log_ticks(low, high)
            texts = [format_quantity(mark, self.suffix).replace(" u", " µ") for mark in marks]
            texts = [re.sub(r"\.0+(?= |$)", "", text) for text in texts]
            return {**look, "type": "log", "tickmode": "array", "tickvals": marks, "ticktext": texts}
        ticks = "~s" if self.suffix or high >= 1000 else "~g"
        return {**look, "type": "linear", "tickmode": "auto", "tickformat": ticks, "ticksuffix": self.suffix}


@dataclass(frozen=True, slots=True)
class FrontPlot:
    """Everything that the plot of a front shows on any two axes.

    Attributes:
        trials: The feasible evaluated trials.
        axes: By name, those of the study first.
        groups: Positions in `trials` of the dominated ones, the front members, and the knee.
    """

    trials: tuple[Trial, ...]
    axes: dict[str, Axis]
    groups: dict[str, list[int]]
    texts: list[str]

    def line(self, x: str, y: str) -> list[int]:
        """Return the positions of the trials that no other beats on these two axes, from left to right."""
        across, up = self.axes[x], self.axes[y]
        points = list(zip(across.values, up.values, strict=True))
        keep = pareto.front(points, (across.direction, up.direction))
        return sorted((index for index, kept in enumerate(keep) if kept), key=lambda index: points[index])

    @property
    def default(self) -> tuple[str, str]:
        """The axes to begin with: what the first trained-for objective costs."""
        names = list(self.axes)
        y = "accuracy" if "accuracy" in names else names[0]
        return next((name for name in names if name != y), y), y


def read_front_plot(run: Run) -> FrontPlot:
    """Return what the plot of a run's front shows."""
    trials = tuple(comparable(run.trials, run.objectives.items))
    names = dict.fromkeys([*run.objectives.names, *OBJECTIVES])
    axes = {
        name: _axis(run, OBJECTIVES[name], trials)
        for name in names
        if name in run.objectives.names or (trials and all(name in trial.scores for trial in trials))
    }
    knee = run.knee()
    groups: dict[str, list[int]] = {"dominated": [], "front": [], "knee": []}
    for index, trial in enumerate(trials):
        is_knee = knee is not None and trial.number == knee.number
        groups["knee" if is_knee else "front" if trial.on_front else "dominated"].append(index)
    return FrontPlot(trials, axes, groups, [_text(run, trial) for trial in trials])


def front_figure(run: Run, x: str | None = None, y: str | None = None) -> go.Figure:
    """Return all feasible networks on two axes: front members strong, dominated ones faint, the knee apart.

    Args:
        run: The run.
        x: Name of an objective or cost; None for the study's first cost.
        y: Name of an objective or cost; None for accuracy.
    """
    run.select([name for name in (x, y) if name is not None] or None)
    plot = read_front_plot(run)
    x, y = x or plot.default[0], y or plot.default[1]
    figure = go.Figure(layout=_layout(height=460))
    figure.add_trace(_points(plot, (x, y), "dominated", {"color": GREY, "size": 8, "opacity": 0.55}))
    figure.add_trace(_line(plot, x, y))
    ring = {"color": "white", "width": 1}
    figure.add_trace(_points(plot, (x, y), "front", {"color": BLUE, "size": 11, "line": ring}))
    figure.add_trace(_points(plot, (x, y), "knee", {"color": ORANGE, "size": 15, "symbol": "diamond", "line": ring}))
    figure.update_xaxes(**plot.axes[x].layout)
    figure.update_yaxes(**plot.axes[y].layout)
    return figure


def hypervolume_figure(run: Run) -> go.Figure:
    """Return how the hypervolume grew over the ended trials; empty before its scale was fixed."""
    curve = run.hypervolume_curve()
    figure = go.Figure(layout=_layout(height=320))
    figure.add_trace(
        go.Scatter(
            x=list(range(1, len(curve) + 1)),
            y=[value for _, value in curve],
            text=[f"trial {number}" for number, _ in curve],
            hovertemplate="after %{x} trials (%{text}): %{y:.3f}<extra></extra>",
            mode="lines",
            line={"shape": "hv", "color": BLUE, "width": 2},
            fill="tozeroy",
            fillcolor="rgba(31, 95, 139, 0.08)",
            showlegend=False,
        )
    )
    figure.update_xaxes(title="trials ended", rangemode="tozero")
    figure.update_yaxes(title="hypervolume", rangemode="tozero")
    return figure


def spending_figure(run: Run) -> go.Figure:
    """Return where seconds and joules went, by phase of the search and by what became of the candidates."""
    ledger = run.ledger
    names = [row.name if row.phase in ("idle", "overhead") else f"{row.name} ({row.num})" for row in ledger.rows]
    known = f" ({ledger.kind})" if ledger.kind not in (None, "measured") else ""
    titles = ["seconds of workers", f"joules{known}"]
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, subplot_titles=titles, horizontal_spacing=0.06)
    seconds = [row.active_s for row in ledger.rows]
    figure.add_trace(go.Bar(y=names, x=seconds, orientation="h", marker_color=BLUE, name=titles[0]), row=1, col=1)
    for label, is_share in (("counted alone" if ledger.is_metered else "priced", False), ("share of the rest", True)):
        joules = [row.energy_j if row.is_share is is_share else None for row in ledger.rows]
        if any(joules):
            bar = go.Bar(y=names, x=joules, name=label, orientation="h", marker_color=LIGHT if is_share else ORANGE)
            figure.add_trace(bar, row=1, col=2)
    figure.update_layout(_layout(height=150 + 34 * len(names)), barmode="stack")
    figure.update_layout(showlegend=ledger.is_metered)
    figure.update_layout(legend={"y": -0.2, "yanchor": "top", "traceorder": "normal"}, margin={"t": 36, "b": 70})
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(tickformat="~s", ticksuffix="s", col=1)
    figure.update_xaxes(tickformat="~s", ticksuffix="J", col=2, **_LINES)
    figure.update_annotations(font_size=13)
    return figure


def _axis(run: Run, objective: Objective, trials: Sequence[Trial]) -> Axis:
    scores = [trial.scores[objective.name] for trial in trials]
    errors = [score.standard_error or 0.0 for score in scores]
    heading = title(objective, run.kind(objective.name)).replace("_", " ")
    return Axis(
        name=objective.name,
        direction=objective.direction,
        title=heading,
        suffix=objective.unit,
        values=[score.value for score in scores],
        errors=errors if any(errors) else None,
    )


def _log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2, 5, 10 and so on around the values; only powers of ten where there are many.

    Plotly's own ticks on such an axis run into each other and lose their unit.
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = (1, 2, 5) if len(powers) <= 4 else (1,)
    return [float(f"{digit}e{power}") for power in powers for digit in digits]


def _points(plot: FrontPlot, axes: tuple[str, str], group: str, marker: dict[str, Any]) -> go.Scatter:
    x, y = (plot.axes[name] for name in axes)
    chosen = plot.groups[group]
    bars = [
        {"array": [axis.errors[index] for index in chosen], "thickness": 1, "width": 0, "color": marker["color"]}
        if axis.errors is not None and group != "dominated"
        else {"visible": False}
        for axis in (x, y)
    ]
    return go.Scatter(
        x=[x.values[index] for index in chosen],
        y=[y.values[index] for index in chosen],
        error_x=bars[0],
        error_y=bars[1],
        text=[plot.texts[index] for index in chosen],
        hovertemplate="%{text}<extra></extra>",
        mode="markers",
        marker=marker,
        name={"dominated": "dominated", "front": "on the front", "knee": "knee"}[group],
    )


def _line(plot: FrontPlot, x: str, y: str) -> go.Scatter:
    chosen = plot.line(x, y)
    return go.Scatter(
        x=[plot.axes[x].values[index] for index in chosen],
        y=[plot.axes[y].values[index] for index in chosen],
        mode="lines",
        # What is reached at a cost stays reached at a higher one: steps, which rise at the next member.
        line={"shape": step_shape(plot.axes[x]), "color": BLUE, "width": 1, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )


def step_shape(axis: Axis) -> str:
    """Return plotly's name for the steps between front members from left to right."""
    return "hv" if axis.direction == "minimize" else "vh"


def _text(run: Run, trial: Trial) -> str:
    assert trial.evaluation is not None  # as of every comparable trial
    scores = [
        f"{title(objective, run.kind(objective.name)).replace('_', ' ')}: "
        f"{format_score(trial.scores[objective.name], objective.unit)}"
        for objective in run.objectives.items
    ]
    head = [f"<b>trial {trial.number}</b>", escape(trial.evaluation.candidate.architecture.describe())]
    return "<br>".join([*head, *scores])


def _layout(height: int) -> go.Layout:
    return go.Layout(
        template="none",
        height=height,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        font={"family": FONT, "size": 13, "color": INK},
        paper_bgcolor="white",
        plot_bgcolor="white",
        xaxis=_LINES,
        yaxis=_LINES,
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": BLUE},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hoverlabel={"align": "left", "bgcolor": "white", "font": {"family": FONT, "color": INK}},
    )
