"""`econas measure`, as a user types it: one line for a mistake, the others go on, and nothing measured is lost."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ecoNAS.architecture import Deployment
from ecoNAS.cli import main
from ecoNAS.cli.measure import SWEPT
from ecoNAS.measuring.measure import Bench, Job
from ecoNAS.records import EnergyProfile

ROOT = Path(__file__).parents[2]
SMALL = ["test_resnet", "--resolution", "32", "--device", "cpu"]
ESTIMATE = [*SMALL, "--meter", "estimate"]

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("ECONAS_LANES", str(tmp_path / "lanes"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def fails(capsys: Captured) -> Callable[..., str]:
    """Run the command, which must not begin; return its one line."""

    def run(*argv: str) -> str:
        try:
            code: object = main(["measure", *argv])
        except SystemExit as error:  # argparse's way
            code = error.code
        captured = capsys.readouterr()
        assert (code, captured.out) == (2, ""), captured
        (line,) = captured.err.splitlines()
        return line

    return run


def test_estimates_say_so_in_the_table(capsys: Captured) -> None:
    assert main(["measure", *ESTIMATE, "--batch", "1,8"]) == 0
    captured = capsys.readouterr()
    assert "Estimated for class:cpu; nothing was measured." in captured.out
    assert "(estimated)" in captured.out
    assert "images 3 x 32 x 32" in " ".join(captured.out.split())
    assert max(len(line) for line in captured.out.splitlines()) <= 80
    said = captured.err.splitlines()
    assert said == [
        f"measuring {number} of 2: test_resnet (batch {batch}, eager, fp32, 32 pixels)"
        for number, batch in ((1, 1), (2, 8))
    ]


def test_estimates_say_so_in_json(capsys: Captured) -> None:
    assert main(["measure", *ESTIMATE, "--classes", "10", "--json"]) == 0
    (record,) = [EnergyProfile.model_validate(item) for item in json.loads(capsys.readouterr().out)]
    assert record.energy is not None
    assert record.workload is not None
    assert record.workload.costs is not None
    assert (record.energy.kind, record.measurement, record.spent) == ("estimated", None, None)
    assert record.workload.shape == (32, 3, 32, 32)


def test_one_that_fails_is_said_and_the_others_go_on(capsys: Captured) -> None:
    """There is no coefficient for bf16, and 33 pixels are no whole patches of a vision transformer."""
    assert main(["measure", "test_vit", *ESTIMATE, "--resolution", "32,33", "--dtype", "fp32,bf16", "--json"]) == 1
    captured = capsys.readouterr()
    records = [EnergyProfile.model_validate(item) for item in json.loads(captured.out)]
    names = [(record.workload.model, record.key.deployment.resolution) for record in records if record.workload]
    assert names == [("test_vit", 32), ("test_resnet", 32), ("test_resnet", 33)]
    assert captured.err.count("was not measured: ") == 5
    assert "test_vit (batch 32, eager, fp32, 33 pixels) was not measured: test_vit cannot read images" in captured.err


def test_an_interrupt_shows_what_was_measured(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Bench.run

    def interrupted(bench: Bench, job: Job) -> EnergyProfile:
        if job.how == Deployment(batch=8, resolution=32):
            raise KeyboardInterrupt
        return measure(bench, job)

    monkeypatch.setattr(Bench, "run", interrupted)
    assert main(["measure", *ESTIMATE, "--batch", "1,8,16", "--json"]) == 130
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 1
    assert "econas: interrupted; 1 of 3 were measured" in captured.err


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["mobilenetv3_smal_050"], "did you mean 'mobilenetv3_small_050'"),
        ([*ESTIMATE, "--batch", "few"], "'few' is no whole number, nor several with commas"),
        ([*ESTIMATE, "--batch", "1,0"], "batch: must be at least 1, got 0"),
        ([*ESTIMATE, "--dtype", "fp23"], "dtype: must be 'fp32', 'bf16' or 'fp16', got 'fp23'"),
        ([*ESTIMATE, "--channels", "0"], "'0' is no whole number above 0"),
        ([*ESTIMATE, "--target", "0"], "--target 0 is no percentage above 0 and below 100"),
        ([*ESTIMATE, "--target", "100"], "--target 100 is no percentage"),
        ([*SMALL, "--meter", "estimat"], "did you mean 'estimate'"),
        ([*SMALL, "--meter", "csv"], "say where it is"),
        ([*SMALL, "--meter", "rapl", "--set", "root=/nowhere"], "no /nowhere/sys/class/powercap/intel-rapl:*"),
        ([*ESTIMATE, "--set", "protocol.idle=5"], "did you mean 'idle_s'"),
        ([*ESTIMATE, "--set", "protocol.idle_s=0"], "idle_s"),
        ([*ESTIMATE, "--set", "protocol=5", "--set", "protocol.idle_s=5"], "protocol was given as '5' before"),
        ([*ESTIMATE, "--set", "devise=x"], "did you mean 'device'"),
        ([*ESTIMATE, "--set", "idle_s"], "write KEY=VALUE"),
        ([], "NETWORK"),
    ],
)
def test_a_mistake_is_one_line(fails: Callable[..., str], argv: list[str], part: str) -> None:
    assert part in fails(*argv)


def test_a_gpu_that_is_not_there_is_refused(fails: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA device is usable here" in fails("test_resnet", "--device", "cuda", "--meter", "estimate")


def test_a_bundle_that_would_write_over_something_is_refused(fails: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("dear to me")
    assert "exists and is not an empty folder" in fails(*ESTIMATE, "--bundle", str(tmp_path))


def test_every_swept_option_is_a_field_of_a_deployment() -> None:
    assert set(SWEPT) == set(Deployment.model_fields)


@pytest.mark.slow
def test_joules_of_a_real_counter_are_watts_times_seconds(tmp_path: Path, capsys: Captured) -> None:
    """Two batch sizes over one counter of 40 W; the second takes the idle power of the first."""
    command = [sys.executable, str(ROOT / "tests/fake_powercap.py"), str(tmp_path), "--power-w", "40"]
    fast = {"warm_up_s": 0.1, "warm_up_iterations": 5, "cpu_window_s": 0.3, "idle_s": 0.3, "max_blocks": 2}
    settings = [f"root={tmp_path}", *(f"protocol.{name}={value}" for name, value in fast.items())]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        try:
            assert driver.stdout is not None
            assert driver.stdout.readline() == "ready\n"
            argv = ["measure", *SMALL, "--meter", "rapl", "--batch", "1,4", "--target", "50", "--json"]
            assert main([*argv, *(word for text in settings for word in ("--set", text))]) == 0
        finally:
            driver.kill()

    records = [EnergyProfile.model_validate(item) for item in json.loads(capsys.readouterr().out)]

    assert [record.quantity for record in records] == ["energy_per_image_b1", "energy_per_image"]
    first, second = (record.measurement for record in records)
    assert first is not None
    assert second is not None
    assert first.idle_w == second.idle_w
    for record, found in zip(records, (first, second), strict=True):
        windows = [window for window in found.windows if not window.replaced]
        mean_s = sum(window.image_s for window in windows) / len(windows)
        assert found.value_j == pytest.approx(40 * mean_s, rel=0.1)
        assert record.energy is not None
        assert record.energy.kind == "measured"
