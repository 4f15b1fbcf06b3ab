"""Joules of a training leave out its pauses, and a counter that fails leaves no number."""

import pytest

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.exclusivity import Verdict
from ecoNAS.energy.meter import Reading, SimulatedMeter
from ecoNAS.energy_settings import EnergySettings
from ecoNAS.errors import MeasurementError
from ecoNAS.evaluation.training_energy import TrainingMeter


def test_pauses_are_left_out() -> None:
    clock = VirtualClock()
    with TrainingMeter(SimulatedMeter(20.0, clock), EnergySettings(), clock=clock) as meter:
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

    with TrainingMeter(Reset(20.0, clock), EnergySettings(), clock=clock) as meter:
        clock.sleep(10.0)
    assert meter.energy is None
    assert meter.note == "the counter was reset; at least 160 J were spent before"


class Crowd:
    """Others are on the device from the second stretch on."""

    def __init__(self) -> None:
        self.num_stretches = 0

    def begin(self) -> None:
        self.num_stretches += 1

    def verdict(self) -> Verdict:
        return (
            Verdict("violated", "others are here") if self.num_stretches > 1 else Verdict("unverifiable", "a container")
        )


@pytest.mark.parametrize("num_pauses", [0, 1])
def test_a_training_that_others_had_a_part_in_has_no_joules(num_pauses: int) -> None:
    clock = VirtualClock()
    with TrainingMeter(SimulatedMeter(20.0, clock), EnergySettings(), Crowd(), clock) as meter:
        clock.sleep(10.0)
        for _ in range(num_pauses):  # what happens meanwhile is somebody else's measurement, and no part of it
            meter.pause()
            meter.resume()
            clock.sleep(10.0)
    assert (meter.energy is None) == (num_pauses > 0)
    said = "the training did not have the device to itself: others are here; at least 400 J were spent before"
    assert meter.note == (said if num_pauses else "")
