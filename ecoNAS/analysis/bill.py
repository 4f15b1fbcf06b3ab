"""What the joules and hours of a search come to in grams and money, by what a site says of itself.

What a site does not say is left out: no carbon intensity and no price is ever guessed.
"""

from dataclasses import dataclass

from ecoNAS.analysis.ledger import Ledger
from ecoNAS.config import SiteConfig

J_PER_KWH = 3.6e6
S_PER_H = 3600.0


@dataclass(frozen=True, slots=True)
class Bill:
    """Grams and money; None for what the site gives no figure for.

    Attributes:
        carbon_g: Grams of CO2 equivalents of the joules, with the overhead of the building where that is given.
        energy_price: Of the joules, likewise, in the site's currency.
        time_price: Of the hours.
        includes_building: Whether the joules were multiplied by the site's power usage effectiveness.
    """

    carbon_g: float | None
    energy_price: float | None
    time_price: float | None
    includes_building: bool

    @property
    def uses_joules(self) -> bool:
        """Whether any of it comes from joules."""
        return self.carbon_g is not None or self.energy_price is not None

    @property
    def price(self) -> float | None:
        """All money together; None where there is none."""
        known = [price for price in (self.energy_price, self.time_price) if price is not None]
        return sum(known) if known else None


def bill_of(ledger: Ledger, site: SiteConfig) -> Bill:
    """Return what a search comes to where it ran."""
    kwh = None if ledger.search_energy_j is None else ledger.search_energy_j * (site.pue or 1.0) / J_PER_KWH
    hours = ledger.wall_s / S_PER_H
    return Bill(
        carbon_g=None if kwh is None or site.g_per_kwh is None else kwh * site.g_per_kwh,
        energy_price=None if kwh is None or site.price_kwh is None else kwh * site.price_kwh,
        time_price=None if site.price_hour is None else hours * site.price_hour,
        includes_building=site.pue is not None,
    )
