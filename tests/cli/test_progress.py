"""What a search says where there is no terminal to draw a bar in."""

from datetime import UTC, datetime

import pytest

from ecoNAS.cli.progress import Progress
from ecoNAS.events import CandidateProfiled, Phase, ProfileRefined, RefinementStarted, TrialEnded
from ecoNAS.records import Outcome


def test_measuring_again_is_announced_and_followed(capsys: pytest.CaptureFixture[str]) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    phase = Phase(name="profiling", started=now, ended=now, device="cpu")
    with Progress(6, "") as progress:
        progress.on_event(CandidateProfiled(digest="3", phases=(phase,)))
        progress.on_event(RefinementStarted(trials=(3, 5)))
        progress.on_event(ProfileRefined(trial=3, digest="3", target=0.02, phase=phase))
        progress.on_event(RefinementStarted(trials=(5,)))
    assert capsys.readouterr().err.splitlines() == [
        "a candidate measured before any training (1 so far)",
        "measuring again, more closely, what decides the front: trials 3, 5",
        "trial 3 measured again",
        "measuring again, more closely, what decides the front: trial 5",
    ]


def test_a_resumed_search_goes_on_counting(capsys: pytest.CaptureFixture[str]) -> None:
    ends = [TrialEnded(trial=number, digest=str(number), outcome=Outcome.EVALUATED) for number in range(3)]
    with Progress(6, "", ends[:2]) as progress:
        progress.on_event(ends[2])
    assert capsys.readouterr().err == "trial 2 evaluated in 0.0 s (3/6)\n"
