"""Refitted networks and ready models: who beats whom, how surely, and what stands between."""

from typing import Literal

import pytest
from pydantic import TypeAdapter

from ecoNAS.analysis.refitted import Refitted
from ecoNAS.analysis.verdicts import verdicts
from ecoNAS.joules import Joules
from ecoNAS.records import Costs, Score


def network(name: str, test: float, macs: int, half: float = 0.02, energy: Joules | None = None) -> Refitted:
    costs = Costs(params=1, macs=macs, activation_memory_bytes=4)
    trial = int(name.split()[1]) if name.startswith("trial") else None
    score = Score(value=test, standard_error=half / 2, num_samples=500, split="test", kind="measured")
    return Refitted(name, trial, 3, None, score, half, {}, energy, False, costs, None)


def joules(
    value_j: float, low_j: float, high_j: float, kind: Literal["measured", "estimated"], device: str = "d"
) -> Joules:
    fields = {"value_j": value_j, "low_j": low_j, "high_j": high_j, "method": "m", "scope": "cpu", "device": device}
    return TypeAdapter[Joules](Joules).validate_python({"kind": kind, **fields})


def test_a_ready_model_that_wins_is_said_to_win() -> None:
    rows = [network("resnet10t", 0.95, 100), network("trial 3", 0.90, 200), network("trial 4", 0.80, 50)]
    (sentence,) = verdicts(rows)

    assert sentence == "resnet10t, a ready model, beats trial 3: take it instead; surely so: trial 3."


def test_a_ready_model_that_is_beaten_itself_is_not_to_be_taken() -> None:
    rows = [network("resnet10t", 0.90, 100), network("trial 3", 0.89, 200), network("trial 4", 0.95, 50)]
    beaten, beats = verdicts(rows)

    assert beaten.startswith("resnet10t is beaten by trial 4")
    assert beats == "resnet10t, a ready model, beats trial 3; though their 95 % intervals overlap."


def test_a_network_that_beats_a_ready_model_is_sure_only_where_intervals_part() -> None:
    ready = network("resnet10t", 0.85, 100)
    (unsure,) = verdicts([ready, network("trial 3", 0.87, 90)])
    (sure,) = verdicts([ready, network("trial 3", 0.95, 90)])
    (neither,) = verdicts([ready, network("trial 3", 0.95, 190)])

    assert "beaten by trial 3" in unsure
    assert "though their 95 % intervals overlap" in unsure
    assert "surely so: trial 3" in sure
    assert neither == (
        "resnet10t neither beats nor is beaten by any network of the search: "
        "it is less accurate than trial 3 by 0.100, for 0.53 times the MACs."
    )


def test_a_ready_model_between_the_networks_is_held_against_the_nearest() -> None:
    ready = network("resnet10t", 0.738, 22_400)
    (sentence,) = verdicts([ready, network("trial 70", 0.712, 2_310), network("trial 120", 0.626, 337)])

    assert sentence.endswith(
        "more accurate than trial 70 by 0.026 (their 95 % intervals overlap), for 9.7 times the MACs."
    )


def test_joules_are_sure_only_where_their_measured_intervals_part() -> None:
    ready = network("resnet10t", 0.80, 100, energy=joules(2.0, 1.9, 2.1, "measured"))
    near = network("trial 3", 0.95, 100, energy=joules(1.95, 1.85, 2.05, "measured"))
    far = network("trial 4", 0.95, 100, energy=joules(1.0, 0.9, 1.1, "measured"))

    assert verdicts([ready, near])[0].endswith("for no more joules per image; though their 95 % intervals overlap.")
    assert verdicts([ready, near, far])[0].endswith("surely so: trial 4.")


def test_estimated_joules_are_never_called_sure() -> None:
    ready = network("resnet10t", 0.80, 100, energy=joules(2.0, 0.7, 6.0, "estimated"))
    better = network("trial 3", 0.95, 100, energy=joules(1.0, 0.3, 3.0, "estimated"))

    assert verdicts([ready, better])[0].endswith("in accuracy surely so: trial 3 (joules are estimated).")


@pytest.mark.parametrize(("kind", "device"), [("estimated", "d"), ("measured", "another")])
def test_joules_that_do_not_mix_give_way_to_macs(kind: Literal["measured", "estimated"], device: str) -> None:
    ready = network("resnet10t", 0.80, 100, energy=joules(2.0, 1.9, 2.1, "measured"))
    other = network("trial 3", 0.95, 200, energy=joules(1.0, 0.3, 3.0, kind, device))

    assert verdicts([ready, other])[0].endswith("for 0.5 times the MACs.")
