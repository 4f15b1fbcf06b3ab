"""Measured networks as a table: ranked by joules per image, with intervals, and what differs between them."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ecoNAS.analysis.quantities import format_quantity
from ecoNAS.joules import Joules
from ecoNAS.records import EnergyProfile

DEPLOYMENT = {"runtime": "runtime", "dtype": "dtype", "batch": "batch", "threads": "threads", "layout": "layout"}
SHAPE = "images"
PLAIN = ("runtime", "dtype", "layout")  # whose values say what they are
WIDE = 500  # more than any table needs


def ranks(records: Sequence[EnergyProfile]) -> Iterator[tuple[int, int]]:
    """Yield for each record the best and the worst rank in joules per image that its interval leaves open."""
    bounds = [(record.energy.low_j, record.energy.high_j) if record.energy else None for record in records]
    known = [bound for bound in bounds if bound is not None]
    for bound in bounds:
        low_j, high_j = bound or (float("inf"), float("inf"))
        below = sum(other_high < low_j for _, other_high in known)
        above = sum(other_low > high_j for other_low, _ in known)
        yield below + 1, len(known) - above if bound else len(records)


def half_width(energy: Joules) -> float:
    """Return half of the interval as a share of the value: of its upper part, since the lower one ends at 0 J."""
    return energy.high_j / energy.value_j - 1 if energy.value_j else 0.0


def print_records(records: Sequence[EnergyProfile]) -> None:
    """Print records to standard output, fewest joules per image first."""
    console = Console(highlight=False)
    console.print(records_view(records, console))


def records_view(records: Sequence[EnergyProfile], console: Console) -> RenderableType:
    """Return records as a table, what is common to all of them above it and what needs saying below.

    What differs has columns of its own where the console is wide enough, else it stands below each name: names may be
    wrapped, figures never.
    """
    ordered = sorted(records, key=lambda record: record.energy.value_j if record.energy else float("inf"))
    common, varying = _split([_facts(record) for record in ordered])
    table = _table(ordered, varying, below=())
    if Measurement.get(console, console.options.update(max_width=WIDE), table).maximum > console.width:
        table = _table(ordered, (), below=varying)
    lines: list[RenderableType] = [Text(_provenance(ordered[0], common)), Text(), table]
    return Group(*lines, *(Text(note) for note in _notes(ordered, varying)))


def _table(ordered: Sequence[EnergyProfile], columns: Sequence[str], below: Sequence[str]) -> Table:
    """Return the table, with some facts in columns and some below the names; empty figures have no column."""
    kinds = {record.energy.kind for record in ordered if record.energy}
    known = f"\n({', '.join(sorted(kinds))})" if kinds != {"measured"} else ""
    figures = [_figures(record) for record in ordered]
    headings = (f"joules per\nimage{known}", "latency", "p95", "power", "peak", "memory")
    shown = [place for place in range(len(headings)) if any(row[place] for row in figures)]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column("#", no_wrap=True)
    table.add_column("network", overflow="fold")
    for heading in columns:
        table.add_column(heading, no_wrap=True)
    for place in shown:
        table.add_column(headings[place], justify="right", no_wrap=True)
    for record, row, (best, worst) in zip(ordered, figures, ranks(ordered), strict=True):
        facts = _facts(record)
        name = _name(record) + (" *" if record.status != "ok" else "")
        name = "\n".join(filter(None, [name, ", ".join(_words(facts, below))]))
        rank = str(best) if best == worst else f"{best}-{worst}"
        table.add_row(rank, name, *(facts.get(key, "") for key in columns), *(row[place] for place in shown))
    return table


def _name(record: EnergyProfile) -> str:
    return record.workload.model if record.workload else record.key.architecture[:12]


def _words(facts: dict[str, str], names: Sequence[str]) -> list[str]:
    """Return facts for people in a few words, such as `batch 8`, or `onnxruntime` where that says enough."""
    return [facts[name] if name in PLAIN else f"{name} {facts[name]}" for name in names if name in facts]


def _facts(record: EnergyProfile) -> dict[str, str]:
    """Return how a record was measured, by name, in the words of a table."""
    facts = {heading: str(getattr(record.key.deployment, field)) for field, heading in DEPLOYMENT.items()}
    if record.workload is not None:
        facts[SHAPE] = " x ".join(str(size) for size in record.workload.shape[1:])
    return facts


def _split(facts: Sequence[dict[str, str]]) -> tuple[dict[str, str], list[str]]:
    """Return what all have in common, and the names of what differs."""
    names = list(dict.fromkeys(name for one in facts for name in one))
    varying = [name for name in names if len({one.get(name) for one in facts}) > 1]
    return {name: facts[0].get(name, "") for name in names if name not in varying}, varying


def _figures(record: EnergyProfile) -> tuple[str, ...]:
    energy, latency, measurement = record.energy, record.latency, record.measurement
    joules = "" if energy is None else format_quantity(energy.value_j, "J")
    if energy is not None and energy.kind == "estimated":
        joules += f" x/÷{energy.high_j / energy.value_j:.3g}" if energy.value_j else ""
    elif energy is not None and energy.value_j:
        joules += f" ±{half_width(energy):.1%}"
    known = [
        (latency.median_s if latency else None, "s"),
        (latency.p95_s if latency else None, "s"),
        (measurement.mean_power_w if measurement else None, "W"),
        (measurement.peak_power_w if measurement else None, "W"),
        (record.peak_memory_bytes, "B"),
    ]
    return joules, *("" if value is None else format_quantity(value, unit) for value, unit in known)


def _provenance(record: EnergyProfile, common: dict[str, str]) -> str:
    meter = record.measurement.meter if record.measurement else None
    if meter is not None:
        scope = "" if meter.scope == meter.name else f" ({meter.scope})"
        source = f"Measured by {meter.name}{scope} on {meter.device_name or meter.device}"
    else:
        source = f"Estimated for {record.key.device}; nothing was measured"
    words = ", ".join(f"{name} {value}" for name, value in common.items())
    return f"{source}. {words}." if words else f"{source}."


def _notes(records: Sequence[EnergyProfile], varying: Sequence[str]) -> list[str]:
    notes = []
    if any(record.measurement for record in records):
        notes.append(
            "± is the 95 % interval for comparing networks on this device; ranks (#) whose intervals overlap are "
            "ranges. Latency is per batch."
        )
        notes.append("Against other devices, and in watts, the wider interval `absolute_j` of --json holds.")
    if any(record.energy and record.energy.kind == "estimated" for record in records):
        notes.append("x/÷ is the 95 % interval of an estimate; ranks (#) whose intervals overlap are ranges.")
    common = [reason for reason in records[0].reasons if all(reason in record.reasons for record in records)]
    if len(records) > 1:
        notes += [f"Of all: {reason}." for reason in common]
    for record in records:
        said = [reason for reason in record.reasons if len(records) == 1 or reason not in common]
        name = ", ".join([_name(record), *_words(_facts(record), varying)])
        if record.status != "ok":
            notes.append(f"* {name}: {'; '.join([record.status, *said])}")
        elif said:
            notes.append(f"{name}: {'; '.join(said)}")
    return list(dict.fromkeys(notes))
