"""A fit finds the coefficients behind records, says honestly how it errs, and refuses records that cannot tell."""

import math
import random
from datetime import timedelta
from pathlib import Path

import pytest
from measured_records import BYTE_J, DEVICE, IMAGE_J, MAC_J, NOON, exact_j, networks, noisy, record, records

from ecoNAS.architecture import Deployment
from ecoNAS.config import EnergyConfig, ExperimentConfig
from ecoNAS.energy.coefficients import CalibratedEstimator
from ecoNAS.energy.estimate import estimate_energy_per_image, estimate_training
from ecoNAS.energy.fit import fit, interval_factor
from ecoNAS.energy.select import is_estimated, select_estimator
from ecoNAS.errors import MeterError
from ecoNAS.records import Costs, EnergyProfile

COSTS = Costs(params=1_000_000, macs=100_000_000, activation_memory_bytes=2_000_000)


def test_exact_records_give_back_their_coefficients() -> None:
    found = fit(records())

    assert found.coefficients.mac_j == pytest.approx(MAC_J, rel=1e-6)
    assert found.coefficients.byte_j == pytest.approx(BYTE_J, rel=1e-6)
    assert found.coefficients.image_j == pytest.approx(IMAGE_J, rel=1e-6)
    assert [network.ratio for network in found.left_out] == pytest.approx([1.0] * 12)
    assert found.coefficients.interval_factor == 1.01  # no better than measuring itself
    assert found.coefficients.num_records == 12


def test_noisy_records_give_coefficients_within_the_reported_error() -> None:
    # Each network lies within the factor, and so do the joules of work that is mostly of one kind.
    found = fit(records(30, rule=noisy(random.Random(1), 0.05)))

    assert 1.05 < found.coefficients.interval_factor < 1.25
    for fitted, true in zip(
        (found.coefficients.mac_j, found.coefficients.byte_j, found.coefficients.image_j),
        (MAC_J, BYTE_J, IMAGE_J),
        strict=True,
    ):
        assert abs(math.log(fitted / true)) < math.log(found.coefficients.interval_factor)


@pytest.mark.parametrize("count", [8, 12, 30])
def test_the_factor_holds_networks_that_were_never_measured(count: int) -> None:
    rng, held, told = random.Random(2), 0, 0
    for seed in range(40):
        rule = noisy(rng, 0.10)
        estimator = CalibratedEstimator(fit(records(count, seed, rule)).file)
        for costs in networks(rng, 25):
            energy = estimate_energy_per_image(estimator, costs, Deployment(batch=8))
            held += energy.low_j <= rule(costs, 8) <= energy.high_j
            told += 1

    assert 0.93 <= held / told <= 0.995


def test_coefficients_are_never_negative() -> None:
    # Joules that fall with the bytes moved: plain least squares would pay for moving them.
    found = fit(records(rule=lambda costs, batch: MAC_J * costs.macs / (1 + costs.activation_memory_bytes / 1e7)))

    assert found.coefficients.byte_j == 0
    assert found.coefficients.mac_j > 0


def test_a_small_network_counts_as_much_as_a_large_one() -> None:
    # One network of 1000 times the joules, measured 50 % too high, must not bend the small ones.
    large = Costs(params=10**9, macs=10**11, activation_memory_bytes=10**9)
    found = fit([*records(20), record(99, large, 1.5 * exact_j(large, 8))])

    small = sorted(found.left_out, key=lambda network: network.measured_j)[:10]
    assert all(abs(network.ratio - 1) < 0.15 for network in small)


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        # By hand: root mean square ln 1.1 times Student's 2.5706 for 8 - 3 = 5 degrees of freedom (published table).
        ([1.1, 1 / 1.1] * 4, 1.1**2.5706),
        # Rank ceil(0.95 x 41) = 39 of 40 is 2, above 2.0262 (37 degrees) x sqrt(3 / 40) ln 2 = 0.5549 ln 2.
        ([1.0] * 37 + [2.0, 0.5, 2.0], 2.0),
        # The largest of 18: one error of ln 2, above 2.1314 (15 degrees) x ln 2 / sqrt(18) = 0.5024 ln 2.
        ([1.0] * 17 + [0.5], 2.0),
        ([1.0] * 8, 1.01),
    ],
)
def test_the_factor_is_that_of_hand_arithmetic(ratios: list[float], expected: float) -> None:
    assert interval_factor(ratios) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (records(7), r"^7 measured networks can be used, and a calibration needs at least 8; .*`econas measure`$"),
        ([], r"^0 measured networks can be used"),
        (records(8) + records(8, device="GPU-9"), r"more than one device \(GPU-1234, GPU-9\).* one device$"),
        (records(8) + records(8, method="integrated_power"), r"more than one method \(energy_counter, integ"),
        (records(8) + records(8, scope="gpu+package"), r"more than one scope \(gpu, gpu\+package\)"),
        (records(8) + records(8, dtype="bf16"), r"more than one data type \(bf16, fp32\)"),
        (records(8, kind="estimated"), r"joules of net0 are estimated, and a calibration needs measured ones"),
        ([*records(7), record(50, None, 1.0)], r"^7 measured networks can be used \(1 without costs\)"),
        ([*records(7), record(50, COSTS, 1.0, energy=None, status="invalid")], r"\(1 without joules\)"),
        ([*records(7), record(50, COSTS, 0.0)], r"\(1 without joules\)"),
        ([*records(7), record(50, COSTS, 1.0, status="unstable")], r"\(1 unstable\)"),
        (records(7) * 2, r"\(7 measured again later\)"),
        ([record(number, COSTS, 1.0 + number) for number in range(8)], r"^the measured networks are too alike"),
        (
            [record(number + 20, COSTS, 1.0) for number in range(6)] + records(2, batch=8),
            r"^without net0 the measured networks are too alike .* no error can be told; measure networks of other",
        ),
    ],
)  # fmt: skip
def test_records_that_cannot_be_fitted_are_refused_in_one_line(found: list[EnergyProfile], message: str) -> None:
    with pytest.raises(MeterError, match=message) as caught:
        fit(found)

    assert "\n" not in str(caught.value)


def test_a_network_measured_twice_counts_once_with_its_later_joules() -> None:
    good = records(9)
    costs = good[0].workload.costs
    wrong_before = record(0, costs, 1.0, batch=1, started=NOON - timedelta(hours=1))

    found = fit([*good, wrong_before])

    assert found.coefficients.num_records == 9
    assert found.unused == {"measured again later": 1}
    assert found.coefficients.mac_j == pytest.approx(MAC_J, rel=1e-6)


def write(path: Path, found: list[EnergyProfile]) -> Path:
    path.write_text(fit(found).file.model_dump_json())
    return path


def test_an_experiment_prices_with_the_file_it_names(tmp_path: Path) -> None:
    path = write(tmp_path / "coefficients.json", records())
    (tmp_path / "experiment.yaml").write_text(
        "search_space: space.yaml\ndata: {name: digits}\nobjectives: [accuracy]\n"
        "energy: {meter: estimate, coefficients: coefficients.json}\n"
    )

    config = ExperimentConfig.from_yaml(tmp_path / "experiment.yaml").energy
    energy = estimate_energy_per_image(select_estimator(config), COSTS, Deployment(batch=10))

    # By hand: 1e8 x 5 pJ = 500 uJ; (4e6 / 10 + 4e6) x 40 pJ = 176 uJ; 200 uJ besides.
    assert energy.value_j == pytest.approx(876e-6, rel=1e-6)
    assert config.coefficients == path
    assert is_estimated(config)
    assert (energy.kind, energy.method, energy.scope) == ("estimated", "macs_and_bytes", "gpu")
    assert energy.device == f"calibrated:{DEVICE}"
    assert energy.high_j / energy.value_j == pytest.approx(1.01)
    assert energy.value_j / energy.low_j == pytest.approx(1.01)


def test_a_calibrated_training_is_as_wide_as_an_uncalibrated_one(tmp_path: Path) -> None:
    estimator = select_estimator(EnergyConfig(meter="estimate", coefficients=write(tmp_path / "c.json", records())))

    energy = estimate_training(estimator, COSTS, batch=10, images_trained=1000, images_validated=0)

    assert energy.value_j == pytest.approx(3 * 1000 * 876e-6, rel=1e-6)
    assert energy.high_j / energy.value_j == pytest.approx(3)


def test_a_data_type_that_was_not_measured_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    config = EnergyConfig(meter="estimate", coefficients=write(tmp_path / "c.json", records(dtype="bf16")))

    with pytest.raises(
        MeterError,
        match=r"^no calibration to estimate dtype 'fp32' on 'calibrated:GPU-1234' .*dtype from bf16$",
    ):
        estimate_energy_per_image(select_estimator(config), COSTS, Deployment())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"missing\.json cannot be read: No such file or directory; `econas calibrate` writes such files"),
        ("{}", r"holds no coefficients of this version: device: "),
        ("joules", r"holds no coefficients of this version: "),
    ],
)
def test_a_file_without_coefficients_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "missing.json"
    if text is not None:
        path.write_text(text)

    with pytest.raises(MeterError, match=message) as caught:
        select_estimator(EnergyConfig(meter="estimate", coefficients=path))

    assert "\n" not in str(caught.value)
