"""The bill of a whole run is what the counter says, and a lost counter leaves a lower bound."""

from typing import Any

from ecoNAS.energy.clock import VirtualClock
from ecoNAS.energy.meter import Reading, SimulatedMeter
from ecoNAS.errors import MeasurementError
from ecoNAS.events import EnergyMetered, MeterFailed
from ecoNAS.experiment.metering import RunMeter


class FailingMeter(SimulatedMeter):
    """20 W until its device is lost."""

    def __init__(self, clock: VirtualClock, lost_s: float) -> None:
        super().__init__(20.0, clock)
        self._lost_s, self._clock_ = lost_s, clock

    def read(self) -> Reading:
        if self._clock_.now_s() >= self._lost_s:
            raise MeasurementError("the GPU is lost", lower_bound_j=20.0 * self._lost_s)
        return super().read()


def test_joules_are_written_every_ten_seconds_and_add_up_to_the_whole() -> None:
    clock, events = VirtualClock(), list[Any]()
    with RunMeter(SimulatedMeter(20.0, clock), events.append, clock) as meter:
        for _ in range(34):
            clock.sleep(1.0)
            meter.flush()
    assert all(isinstance(event, EnergyMetered) for event in events)
    assert [event.energy.value_j for event in events] == [200.0, 200.0, 200.0, 80.0]
    assert {event.energy.device for event in events} == {"simulated:0"}


def test_a_lost_counter_leaves_what_was_counted_and_says_so_once() -> None:
    clock, events = VirtualClock(), list[Any]()
    with RunMeter(FailingMeter(clock, lost_s=13.0), events.append, clock) as meter:
        for _ in range(40):
            clock.sleep(1.0)
            meter.flush()
    assert [type(event) for event in events] == [EnergyMetered, EnergyMetered, MeterFailed]
    assert sum(event.energy.value_j for event in events[:2]) == 20.0 * 12.5  # the last reading before it was lost
    assert events[2].reason == "the GPU is lost"
