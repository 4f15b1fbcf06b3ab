"""A user's own score by its dotted path: computed after a training, an objective of the search, refused in one line."""

from pathlib import Path

import numpy as np
import pytest

from ecoNAS import ExperimentConfig, load_run, prepare, run_search
from ecoNAS.cli import main
from ecoNAS.errors import ConfigError
from ecoNAS.run_folder import RunFolder
from ecoNAS.training.scores import score_all

SMOKE = Path(__file__).parents[2] / "experiments" / "smoke.yaml"
MODULE = """
import numpy as np
from ecoNAS.training.scores import UserScore

def confidence(labels, predictions, probabilities):
    return float(probabilities[np.arange(len(labels)), labels].mean())

sure = UserScore(confidence, "maximize", "mean probability of the true class")
wrong = 3
broken = UserScore(lambda labels, predictions, probabilities: 1 / 0, "minimize", "nothing")
endless = UserScore(lambda labels, predictions, probabilities: float("nan"), "minimize", "nothing")
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_scores.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_users_score_has_its_value_and_the_error_of_its_images() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), size=300)
    labels = rng.integers(4, size=300)
    found = score_all(probabilities, labels, "validation", ["their_scores:sure"])["their_scores:sure"]
    of_true = probabilities[np.arange(300), labels]

    assert found.value == pytest.approx(of_true.mean())
    assert found.standard_error == pytest.approx(of_true.std() / np.sqrt(300), rel=0.2)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone", r"score 'their_scores:gone' cannot be imported: .*gone"),
        ("wrong", r"score 'their_scores:wrong' is a int; it must be an ecoNAS.training.scores.UserScore"),
    ],
)
def test_what_is_no_score_is_refused_with_the_line(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"smoke.yaml.*objectives.*{said}"):
        prepare(ExperimentConfig.from_yaml(SMOKE, {"objectives": [f"their_scores:{name}", "macs"]}))


@pytest.mark.parametrize(
    ("name", "said"), [("broken", "raised ZeroDivisionError: division by zero"), ("endless", "gave nan")]
)
def test_a_score_that_fails_says_so(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"score 'their_scores:{name}' {said}"):
        score_all(np.eye(3), np.arange(3), "test", [f"their_scores:{name}"])


def test_a_search_has_a_users_score_for_an_objective(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = {"objectives": ["their_scores:sure", "macs"], "search.trials": 4, "report.every_s": 1e9}
    run_search(prepare(ExperimentConfig.from_yaml(SMOKE, values)), RunFolder(tmp_path / "run"), resume=False)
    run = load_run(tmp_path / "run")

    for trial in run.trials:
        assert 0 < trial.scores["their_scores:sure"].value < 1
    assert run.objectives.names == ("their_scores:sure", "macs")
    assert run.front_trials()
    assert main(["show", str(tmp_path / "run"), str(run.front_trials()[0].number)]) == 0
    assert "their_scores:sure" in capsys.readouterr().out
