"""What a search cost, for people: its parts as a table, and what it comes to where it ran, in words."""

from rich import box
from rich.console import Console
from rich.table import Table

from ecoNAS.analysis.bill import Bill, bill_of
from ecoNAS.analysis.ledger import LedgerRow
from ecoNAS.analysis.quantities import format_duration, format_quantity
from ecoNAS.analysis.run import Run


def cost_table(run: Run) -> Table:
    """Return the parts of the bill: what was done, in how much time, for how many joules."""
    ledger = run.ledger
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 2, 0, 0), pad_edge=False, show_edge=False)
    known = f" ({ledger.kind})" if ledger.kind else ""
    for heading in ("where it went", "times", "worker time", f"joules{known}", "of all"):
        table.add_column(heading, justify="left" if heading == "where it went" else "right")
    for row in ledger.rows:
        share = f"{row.energy_j / ledger.search_energy_j:.0%}" if row.energy_j and ledger.search_energy_j else ""
        times = "" if row.phase in ("idle", "overhead") else str(row.num)
        table.add_row(row.name, times, format_duration(row.active_s), joules_of(row), share)
    return table


def print_cost(run: Run) -> None:
    """Print the parts of the bill to standard output, and why it may be only a part."""
    console = Console(highlight=False)
    console.print(cost_table(run))
    for hole in run.ledger.holes:
        console.print(f"A lower bound: {hole}.")


def joules_of(row: LedgerRow) -> str:
    """Return the joules of a part, marked where they are a share of what was counted together."""
    if row.energy_j is None:
        return ""
    return format_quantity(row.energy_j, "J") + (" (share)" if row.is_share else "")


def bill_words(run: Run) -> str:
    """Return what the search comes to in grams and money, in one sentence; empty where the site gives no figures."""
    bill, site, ledger = bill_of(run.ledger, run.config.site), run.config.site, run.ledger
    parts = []
    if bill.carbon_g is not None:
        parts.append(f"{format_quantity(bill.carbon_g, 'g')} of CO2e")
    if bill.price is not None:
        parts.append(f"{bill.price:.4g} {site.currency}".rstrip() + f" {_for_what(bill)}")
    if not parts:
        return ""
    known = f", by {ledger.kind} joules of {ledger.meaning.partition(' (')[0]}" if bill.uses_joules else ""
    building = f" with a PUE of {site.pue:g}" if bill.includes_building and bill.uses_joules else ""
    return f"That comes to {' and '.join(parts)}{building}{known}."


def _for_what(bill: Bill) -> str:
    if bill.energy_price is None:
        return "for the hours"
    return "for the energy" if bill.time_price is None else "for energy and hours"
