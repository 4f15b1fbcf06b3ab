"""How samplers compared, as tables for a terminal."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as View
from rich.text import Text

from ecoNAS.benchmark.compare import Comparison, Reading, Search, paired


def bench_view(spec: str, comparison: Comparison) -> RenderableType:
    """Return a table a figure, the paired differences from the first sampler, and what each search took."""
    table, judge = comparison.table, comparison.judge
    names, searches = comparison.samplers, comparison.searches
    seeds = len({search.seed for search in searches})
    lines: list[RenderableType] = [
        Text(
            f"{spec}: {len(table):,} candidates, {judge.num_front} on the true front, "
            f"true hypervolume {judge.hypervolume:.6f}; {seeds} seed{'s' if seeds > 1 else ''}"
        )
    ]
    figures: list[tuple[str, Callable[[Reading], float]]] = [("hv_frac", lambda reading: reading.hv_frac)]
    if table.scale.useful:
        figures.append(("useful_frac", lambda reading: reading.useful_frac or 0.0))
    figures.append(("regret", lambda reading: 1.0 - reading.hv_frac))
    for title, read in figures:
        lines += [Text(f"\n{title} after so many trainings", style="bold"), _figure(read, names, searches)]
    lines += [Text("± is the standard deviation over seeds.", style="dim")]
    lines += [Text("\nat the end, on average", style="bold"), _spent(names, searches)]
    lines += [Text("duration is that of the virtual clock, in mean trainings.", style="dim")]
    if seeds > 1 and len(names) > 1:
        lines += [Text(), *(Text(line) for line in _differences(figures, names, searches))]
    return Group(*lines)


def _figure(read: Callable[[Reading], float], names: Sequence[str], searches: Sequence[Search]) -> View:
    view = _view()
    view.add_column("sampler", no_wrap=True)
    for reading in searches[0].readings:
        view.add_column(f"{reading.cost:g}", justify="right", no_wrap=True)
    for name in names:
        rows = np.array([[read(r) for r in search.readings] for search in searches if search.sampler == name])
        spreads = rows.std(axis=0, ddof=1) if len(rows) > 1 else [None] * rows.shape[1]
        cells = [
            f"{mean:.4f}" + (f" ±{spread:.4f}" if spread is not None else "")
            for mean, spread in zip(rows.mean(axis=0), spreads, strict=True)
        ]
        view.add_row(name, *cells)
    return view


def _spent(names: Sequence[str], searches: Sequence[Search]) -> View:
    view = _view()
    view.add_column("sampler", no_wrap=True)
    for heading in ("trained", "measured", "front points", "duration", "s per proposal"):
        view.add_column(heading, justify="right", no_wrap=True)
    is_told = any(search.trace.ended != "budget" for search in searches)
    if is_told:
        view.add_column("ended", overflow="fold")
    for name in names:
        mine = [search for search in searches if search.sampler == name]
        means = [
            np.mean([len(search.trace.rows) for search in mine]),
            np.mean([search.trace.measured for search in mine]),
            np.mean([search.readings[-1].front_points for search in mine]),
            np.mean([search.trace.duration for search in mine]),
        ]
        seconds = np.mean([search.trace.proposal_s for search in mine])
        why = [", ".join(sorted({search.trace.ended for search in mine}))] if is_told else []
        view.add_row(name, *(f"{mean:.1f}" for mean in means), f"{seconds:.2g}", *why)
    return view


def _differences(
    figures: Sequence[tuple[str, Callable[[Reading], float]]], names: Sequence[str], searches: Sequence[Search]
) -> Iterator[str]:
    first, *others = names
    yield f"{first} minus the others at the end, paired by seed, with the 95 % interval of the mean:"
    for title, read in figures[:-1]:
        for other in others:
            ends = {
                name: [read(search.readings[-1]) for search in searches if search.sampler == name]
                for name in (first, other)
            }
            gap = paired(ends[first], ends[other])
            yield f"  {title} minus {other}: {gap.mean:+.4f} ({gap.low:+.4f} to {gap.high:+.4f})"


def _view() -> View:
    return View(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
