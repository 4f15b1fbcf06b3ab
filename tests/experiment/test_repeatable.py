"""A search repeats itself from its seed, interrupted or not."""

from pathlib import Path

import pytest

from ecoNAS import ExperimentConfig, load_run, prepare, run_search
from ecoNAS.errors import ConfigError
from ecoNAS.run_folder import RunFolder

SMOKE = Path(__file__).parents[2] / "experiments" / "smoke.yaml"


def search(folder: Path, trials: int, *, resume: bool = False, **changes: object) -> list[str]:
    values = {"search.sampler": "auto", "search.trials": trials, "training.epochs": 1, "report.every_s": 1e9}
    run_search(prepare(ExperimentConfig.from_yaml(SMOKE, {**values, **changes})), RunFolder(folder), resume=resume)
    return [trial.digest for trial in load_run(folder).trials]


@pytest.mark.parametrize(
    "proxies", [(), pytest.param(("naswot", "snip"), marks=pytest.mark.long)], ids=["plain", "proxies"]
)
def test_a_resumed_search_trains_what_it_would_have_trained(tmp_path: Path, proxies: tuple[str, ...]) -> None:
    named = {"search.proxies": list(proxies)}
    whole = search(tmp_path / "whole", 14, **named)
    begun = search(tmp_path / "parts", 10, **named)
    assert begun == whole[:10]
    assert search(tmp_path / "parts", 14, resume=True, **named) == whole
    assert len(set(whole)) == 14


def test_a_proxy_that_nobody_knows_or_takes_is_refused() -> None:
    for changes, said in (
        ({"search.sampler": "auto", "search.proxies": ["snop"]}, "unknown proxy 'snop'; known: naswot, snip"),
        ({"search.proxies": ["snip"]}, "sampler 'random' takes no proxies"),
    ):
        with pytest.raises(ConfigError, match=said):
            prepare(ExperimentConfig.from_yaml(SMOKE, changes))
