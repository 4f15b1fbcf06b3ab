"""Joules of a training leave out its pauses, and a counter that fails leaves no number."""

import pytest

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.meter import Reading, SimulatedMeter
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeasurementError
from ecoNAS.evaluation.training_energy import TrainingMeter


def test_pauses_are_left_out() -> None:
    clock = VirtualClock()
    with TrainingMeter(SimulatedMeter(20.0, clock), EnergySettings(), clock) as meter:
        clock.sleep(10.0)
        meter.pause()
        clock.sleep(100.0)
        meter.resume()
        clock.sleep(5.0)
    assert meter.energy is not None
    assert meter.energy.value_j == pytest.approx(300.0)
    assert meter.energy.kind == "simulated"
    assert (meter.energy.low_j, meter.energy.high_j) == pytest.approx((297.0, 303.0))
    assert not meter.note


def test_a_counter_that_fails_on_the_way_leaves_a_lower_bound_and_no_number() -> None:
    clock = VirtualClock()

    class Reset(SimulatedMeter):
        def read(self) -> Reading:
            if clock.now_s() > 8.0:
                raise MeasurementError("the counter was reset")
            return super().read()

    with TrainingMeter(Reset(20.0, clock), EnergySettings(), clock) as meter:
        clock.sleep(10.0)
    assert meter.energy is None
    assert meter.note == "the counter was reset; at least 160 J were spent before"
