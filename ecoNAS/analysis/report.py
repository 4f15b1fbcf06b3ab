"""The browser report: one HTML file that holds all it needs and asks nothing of the network.

What is said is decided here, in the order in which it is read; how it looks by `page/style.css`, what moves by
`page/script.js`, what is drawn by `plots`. Text of users is escaped. Works for runs that go on, have ended or died.
"""

import json
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from pathlib import Path

from plotly.offline import get_plotlyjs

from ecoNAS.analysis import plots
from ecoNAS.analysis.comparison import Row, compare_knee
from ecoNAS.analysis.data_section import data_section
from ecoNAS.analysis.drawing import draw
from ecoNAS.analysis.html import facts, items, say
from ecoNAS.analysis.provenance import honest_notes, provenance
from ecoNAS.analysis.quantities import differences, format_duration, format_quantity, format_score, title
from ecoNAS.analysis.refit_section import refit_section
from ecoNAS.analysis.run import Run
from ecoNAS.analysis.summary import cost, counts_line, found, standing
from ecoNAS.analysis.trials import Trial
from ecoNAS.evaluation.objectives import OBJECTIVES, Objective
from ecoNAS.records import Outcome, Score, now
from ecoNAS.run_folder import RunFolder, write_atomically

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
<script type="application/json" id="report-data">{data}</script>
<script>{plotly}</script>
<script>{script}</script>
</body>
</html>
"""
_MEANINGS = {
    Outcome.EVALUATED: "trained and scored in full",
    Outcome.REFUSED: "broke a bound before anything was spent",
    Outcome.DUPLICATE: "proposed again; nothing was trained twice",
    Outcome.STOPPED: "given up at a rung",
    Outcome.INFEASIBLE: "ran out of memory or diverged",
    Outcome.FAILED: "infrastructure; see the logs folder",
}


def write_report(run: Run, path: Path | None = None) -> Path:
    """Write the report, whole or not at all.

    Args:
        run: The run, as far as it is.
        path: Where to; None for `report.html` in the run folder.

    Returns:
        Where it was written.
    """
    path = path or RunFolder(run.folder).report
    write_atomically(path, render_report(run).encode())
    return path


def render_report(run: Run) -> str:
    """Return the report as one HTML page."""
    sections = [
        _head(run),
        *_front(run),
        *refit_section(run),
        *_ready_models(run),
        _search(run),
        _cost(run),
        *data_section(run),
        _origin(run),
    ]
    data = {"figures": _figures(run), "front": _front_data(run)}
    return _PAGE.format(
        title=escape(f"{run.name} - ecoNAS"),
        style=_file("style.css"),
        body="\n".join(sections),
        # JSON inside a script element must not be able to close it.
        data=json.dumps(data, allow_nan=False).replace("<", "\\u003c"),
        plotly=get_plotlyjs(),
        script=_file("script.js"),
    )


def _head(run: Run) -> str:
    tiles = "".join(f"<div><dt>{escape(name)}</dt><dd>{value}</dd></div>" for name, value in _tiles(run))
    return (
        f'<header><p class="kicker">ecoNAS report</p><h1>{escape(run.name)}</h1>'
        f'<p class="state">{escape(standing(run))}</p>'
        f'<p class="lead">{say(found(run))} {say(cost(run))}</p>'
        f'<dl class="figures">{tiles}</dl></header>'
        f'<aside class="notes" aria-label="How to read this"><ul>{items(honest_notes(run))}</ul></aside>'
    )


def _tiles(run: Run) -> Iterable[tuple[str, str]]:
    members, knee, ledger = run.front_trials(), run.knee(), run.ledger
    yield "networks on the front", f"{len(members)} <small>of {run.counts[Outcome.EVALUATED]} evaluated</small>"
    if knee is not None:
        for objective in run.objectives.items[:2]:
            name = title(objective, run.kind(objective.name)).replace("_", " ")
            yield f"{name} of the knee", _value(knee.scores[objective.name], objective)
    if ledger.search_energy_j is not None:
        yield f"search, {ledger.meaning}", say(format_quantity(ledger.search_energy_j, "J"))
    else:
        yield "search", say(format_duration(ledger.wall_s))


def _front(run: Run) -> Iterable[str]:
    members, knee = run.front_trials(), run.knee()
    if knee is None:
        return
    assert knee.evaluation is not None  # as of every member of a front
    plot = plots.read_front_plot(run)
    selects = "".join(
        f'<label>{name}<select id="axis-{end}">{_options(plot, chosen)}</select></label>'
        for end, name, chosen in (("x", "across", plot.default[0]), ("y", "up", plot.default[1]))
    )
    yield (
        f'<section><h2>The front</h2><div class="axes">{selects}</div>'
        '<figure><div id="front" class="plot"></div><figcaption>Each point is a trained network that keeps all '
        "constraints. The steps join those that no other beats on the two axes shown; a member of the front may lie "
        "off them where it is better on an axis that is not shown. Bars are one standard error.</figcaption></figure>"
    )
    yield f'<div class="scroll">{_members_table(run, members, knee)}</div>'
    drawing = draw(knee.evaluation.candidate.architecture, knee.evaluation.problem)
    export = f"<code>econas export {escape(str(run.folder))} knee</code>"
    yield (
        f"<h3>The knee: trial {knee.number}</h3><p>The member that bulges furthest from the line through the ends of "
        f"the front towards the ideal: the best balance. Take it along with {export}.</p>"
        f"<pre>{escape(drawing)}</pre></section>"
    )


def _members_table(run: Run, members: Sequence[Trial], knee: Trial) -> str:
    headings = [title(objective, run.kind(objective.name)).replace("_", " ") for objective in run.objectives.items]
    cells = "".join(f'<th scope="col"><button>{escape(name)}</button></th>' for name in ["trial", *headings])
    rows = []
    beside = differences([trial.evaluation.candidate for trial in members if trial.evaluation])
    for trial, how in zip(members, beside, strict=True):
        assert trial.evaluation is not None  # as of every member of a front
        badge = '<span class="badge">knee</span>' if trial is knee else ""
        values = "".join(
            f'<td data-sort="{trial.scores[objective.name].value!r}">'
            f"{_value(trial.scores[objective.name], objective)}</td>"
            for objective in run.objectives.items
        )
        parts = trial.evaluation.candidate.architecture.describe().split(" | ")
        network = " | ".join(escape(part).replace(" ", "&nbsp;") for part in parts)  # lines break between stages only
        network += f"<br>{escape(how)}" if how else ""
        rows.append(
            f'<tr{" class=knee" if trial is knee else ""}><td data-sort="{trial.number}">{badge}{trial.number}</td>'
            f'{values}<td class="text">{network}</td></tr>'
        )
    return (
        f'<table><thead><tr>{cells}<th scope="col" class="text">architecture</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _ready_models(run: Run) -> Iterable[str]:
    comparison = compare_knee(run)
    if comparison is None:
        return
    headings = ("accuracy", comparison.heading, "95 % interval", "MACs", "parameters")
    cells = '<th scope="col" class="text">network</th>' + "".join(f'<th scope="col">{name}</th>' for name in headings)
    rows = "".join(_ready_model_row(row, comparison.joules(row)) for row in comparison.rows)
    notes = f'<p class="note">{say(" ".join(comparison.notes))}</p>' if comparison.notes else ""
    yield (
        f"<section><h2>Against ready models</h2><p>{say(comparison.verdict)}</p>"
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>{notes}'
        '<p class="note">Ready models were trained from scratch with the same recipe and judged by the same '
        "validation images. The baseline is the cheapest that is at least as accurate as the knee.</p></section>"
    )


def _ready_model_row(row: Row, joules: str) -> str:
    word = "knee" if row.is_searched else "baseline" if row.is_baseline else ""
    badge = f'<span class="badge">{word}</span>' if word else ""
    values = [_value(row.accuracy, OBJECTIVES["accuracy"]), say(joules), say(row.interval)]
    values += [format_quantity(count) for count in (row.costs.macs, row.costs.params)]
    cells = "".join(f"<td>{value}</td>" for value in values)
    return f'<tr{" class=knee" if row.is_searched else ""}><td class="text">{badge}{escape(row.name)}</td>{cells}</tr>'


def _search(run: Run) -> str:
    most = max(run.counts.values(), default=0) or 1
    rows = "".join(
        f"<tr><td>{name}</td><td>{count}</td><td class=text>{_MEANINGS[Outcome(name)]}</td>"
        f'<td><span class="bar" style="width:{100 * count / most:.0f}%"></span></td></tr>'
        for name, count in run.counts.items()
        if count
    )
    hypervolume = run.hypervolume()
    if hypervolume is None:
        growth = '<p class="note">The hypervolume has no scale yet: the first evaluations fix it.</p>'
    else:
        ends = ", ".join(
            f"{item.name.replace('_', ' ')} {format_quantity(hypervolume.ideal[item.name], item.unit)} to "
            f"{format_quantity(hypervolume.nadir[item.name], item.unit)}"
            for item in run.objectives.items
        )
        growth = (
            '<figure><div id="hypervolume" class="plot"></div><figcaption>The part of the objective space that the '
            f"front dominates: {hypervolume.value:.3f} so far, {hypervolume.most:.3g} for a network at the ideal of "
            f"every objective. From ideal to nadir: {say(ends)} (from {escape(hypervolume.source)}); reference point "
            f"{hypervolume.reference:g} of that range.</figcaption></figure>"
        )
    table = f'<table class="outcomes"><tbody>{rows}</tbody></table>' if rows else "<p>No trial has ended yet.</p>"
    is_open = any(trial.outcome is None for trial in run.trials)
    open_trials = f'<p class="note">{say(counts_line(run))}.</p>' if is_open else ""
    return f"<section><h2>The search</h2>{table}{open_trials}{growth}</section>"


def _cost(run: Run) -> str:
    ledger = run.ledger
    text = [f"<p>{say(cost(run))}</p>"]
    if ledger.holes:
        text.append(f'<p class="note">The joules are a lower bound: {escape("; ".join(ledger.holes))}.</p>')
    if ledger.interval_j is not None and ledger.search_energy_j is not None:
        low, high = (format_quantity(bound, "J") for bound in ledger.interval_j)
        text.append(
            f'<p class="note">The 95 % interval of the joules is {say(low)} to {say(high)}. They cover '
            "the training of candidates alone: profiling, the driver and idle hardware are not in them.</p>"
        )
    if ledger.rows:
        text.append('<figure><div id="spending" class="plot"></div></figure>')
    return f"<section><h2>What it cost</h2>{''.join(text)}</section>"


def _origin(run: Run) -> str:
    return (
        f"<section><h2>Where the numbers come from</h2>{facts(provenance(run))}</section>"
        f"<footer>Written by ecoNAS {escape(_version(run))} on {now():%Y-%m-%d %H:%M:%S} UTC from "
        f"<code>{escape(str(run.folder))}</code>. This file needs no network.</footer>"
    )


def _figures(run: Run) -> dict[str, object]:
    figures = {}
    if run.front_trials():
        figures["front"] = plots.front_figure(run)
    if run.hypervolume() is not None:
        figures["hypervolume"] = plots.hypervolume_figure(run)
    if run.ledger.rows:
        figures["spending"] = plots.spending_figure(run)
    return {name: json.loads(figure.to_json()) for name, figure in figures.items()}


def _front_data(run: Run) -> dict[str, object]:
    """Return what the script needs to show the front on other axes."""
    plot = plots.read_front_plot(run)
    axes = {
        name: {
            "values": axis.values,
            "errors": axis.errors,
            "layout": axis.layout,
            "shape": plots.step_shape(axis),
        }
        for name, axis in plot.axes.items()
    }
    lines = {x: {y: plot.line(x, y) for y in plot.axes} for x in plot.axes}
    return {"axes": axes, "groups": plot.groups, "lines": lines}


def _options(plot: plots.FrontPlot, chosen: str) -> str:
    return "".join(
        f'<option value="{name}"{" selected" if name == chosen else ""}>{escape(axis.title)}</option>'
        for name, axis in plot.axes.items()
    )


def _value(score: Score, objective: Objective) -> str:
    """Return a value with a small standard error behind it."""
    value, _, error = format_score(score, objective.unit).partition(" ±")
    return say(value) + (f' <span class="error">±&thinsp;{escape(error)}</span>' if error else "")


def _version(run: Run) -> str:
    return str(run.environment.get("packages", {}).get("econas", ""))


def _file(name: str) -> str:
    return resources.files("ecoNAS.analysis").joinpath("page", name).read_text(encoding="utf-8")
