"""Grams and money, by hand."""

from dataclasses import replace

import pytest

from ecoNAS.analysis.bill import bill_of
from ecoNAS.analysis.cost_view import bill_words
from ecoNAS.config import SiteConfig


@pytest.fixture
def ledger(run):
    return replace(run.ledger, search_energy_j=7.2e6, wall_s=5400.0, kind="measured", is_metered=True)  # 2 kWh, 1.5 h


def test_joules_and_hours_are_multiplied_by_what_the_site_says(ledger):
    bill = bill_of(ledger, SiteConfig(g_per_kwh=400, pue=1.2, price_kwh=0.3, price_hour=2))

    assert bill.carbon_g == pytest.approx(2 * 1.2 * 400)
    assert bill.energy_price == pytest.approx(2 * 1.2 * 0.3)
    assert bill.time_price == pytest.approx(1.5 * 2)
    assert bill.price == pytest.approx(0.72 + 3)


def test_what_the_site_does_not_say_is_left_out_and_never_guessed(ledger, run):
    nothing = bill_of(ledger, SiteConfig())
    assert (nothing.carbon_g, nothing.energy_price, nothing.time_price, nothing.price) == (None, None, None, None)
    assert bill_words(run) == ""
    grams = bill_of(ledger, SiteConfig(g_per_kwh=400))
    assert grams.carbon_g == pytest.approx(800)  # without a PUE these are the joules of the device alone
    assert not grams.includes_building
    assert grams.price is None


def test_joules_that_are_not_known_have_no_price(ledger):
    bill = bill_of(replace(ledger, search_energy_j=None), SiteConfig(g_per_kwh=400, price_kwh=1, price_hour=2))
    assert bill.carbon_g is None
    assert bill.price == pytest.approx(3)


def test_the_words_say_what_the_joules_cover(run, ledger):
    site = SiteConfig(g_per_kwh=400, pue=1.2, price_kwh=0.3, price_hour=2, currency="EUR")
    there = replace(run, config=run.config.model_copy(update={"site": site}))
    there.__dict__["ledger"] = ledger

    assert bill_words(there) == (
        "That comes to 960 g of CO2e and 3.72 EUR for energy and hours with a PUE of 1.2, "
        "by measured joules of the whole search."
    )
