"""Fits the coefficients of an estimate to measured records of one device, and says how far such estimates err.

The formula is that of `estimate`: a x MACs + b x bytes moved + c, in joules per image, with bytes as `forward_work`
counts them. All three are at least 0, and relative errors are made small, so that a small network counts as much as a
large one. What the fit says holds for networks, batches and runtimes like those that were measured. Files of
coefficients are decided by `coefficients`.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from ecoNAS.energy.coefficients import CoefficientsFile, FittedCoefficients
from ecoNAS.energy.estimate import Work, forward_work
from ecoNAS.energy.intervals import t_quantile
from ecoNAS.errors import MeterError
from ecoNAS.joules import Joules
from ecoNAS.records import EnergyProfile, Workload, now

MIN_RECORDS: Final = 8
NUM_COEFFICIENTS: Final = 3
COVERAGE: Final = 0.95
MIN_FACTOR: Final = 1.01  # the method of measuring itself is no better than 1 %
# Below this share of the largest singular value a direction is noise of rounding, not a difference between networks.
RANK_TOLERANCE: Final = 1e-6
USABLE: Final = ("ok", "ci_unmet")

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One measured network, and what the fit to all others says about it; joules per image.

    Attributes:
        name: For people.
        batch: Images per batch.
    """

    name: str
    batch: int
    measured_j: float
    predicted_j: float

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted_j / self.measured_j


@dataclass(frozen=True, slots=True)
class Fit:
    """What came out.

    Attributes:
        file: The coefficients with their device and interval.
        dtype: The data type of the records.
        left_out: Each network that was used, predicted from the others, in the order given.
        unused: Why records were not used, with how many.
    """

    file: CoefficientsFile
    dtype: str
    left_out: tuple[LeftOut, ...]
    unused: dict[str, int]

    @property
    def coefficients(self) -> FittedCoefficients:
        """Those of the data type that was fitted."""
        return self.file.dtypes[self.dtype]


@dataclass(frozen=True, slots=True)
class _Row:
    record: EnergyProfile
    energy: Joules
    workload: Workload
    work: Work


def fit(records: Sequence[EnergyProfile]) -> Fit:
    """Fit coefficients to measured records.

    Args:
        records: Of one device, method, scope and data type. One without joules, without costs or with a status other
            than `ok` and `ci_unmet` is not used; of two of one network in one deployment, the later one is.

    Raises:
        MeterError: if fewer than eight can be used, they are not measured, do not belong together, or are so alike
            that they do not tell what a MAC, a byte and an image cost.
    """
    rows, unused = _usable(records)
    _check(rows, unused)
    works = np.array([[row.work.macs, row.work.moved_bytes, row.work.images] for row in rows])
    measured_j = np.array([row.energy.value_j for row in rows])
    _check_difference(rows, works, measured_j)
    left_out = tuple(
        LeftOut(_name(row.workload), row.workload.deployment.batch, row.energy.value_j, predicted_j)
        for row, predicted_j in zip(rows, _leave_one_out(works, measured_j), strict=True)
    )
    mac_j, byte_j, image_j = _solve(works, measured_j)
    first, dtype = rows[0], rows[0].workload.deployment.dtype
    fitted = FittedCoefficients(
        mac_j=mac_j,
        byte_j=byte_j,
        image_j=image_j,
        interval_factor=interval_factor([network.ratio for network in left_out]),
        num_records=len(rows),
    )
    measurement = first.record.measurement
    file = CoefficientsFile(
        device=first.energy.device,
        device_name=measurement.meter.device_name if measurement is not None else "",
        method=first.energy.method,
        scope=first.energy.scope,
        dtypes={dtype: fitted},
        created=now(),
    )
    return Fit(file, dtype, left_out, unused)


def interval_factor(ratios: Sequence[float]) -> float:
    """Return a factor such that 95 % of left-out predictions lie within the measured value times and divided by it.

    With the few records that there are the 95 % point cannot be read from them: the largest error of n holds the next
    network's in n of n + 1 cases, 89 % for eight. So it is the larger of two. One takes errors as normal in logarithms
    with no bias: their root mean square (about 0, so that a bias widens it) times Student's quantile, with as many
    degrees of freedom as the fit left. The other takes nothing for granted: the error of rank ceil(0.95 (n + 1)), as in
    split conformal prediction (Lei et al., JASA 113, 2018, 1094-1111, section 2.2), or the largest with fewer than 19.
    With 8 to 60 synthetic records and noise of 5 to 40 %, 94 to 97 % of fresh networks lay within the factor.

    Args:
        ratios: Predicted over measured joules, one a network; more than `NUM_COEFFICIENTS`, all above 0.
    """
    errors = sorted(abs(math.log(ratio)) for ratio in ratios)
    count = len(errors)
    spread = math.sqrt(sum(error**2 for error in errors) / count)
    rank = min(math.ceil(COVERAGE * (count + 1)), count)
    return max(math.exp(max(t_quantile(count - NUM_COEFFICIENTS) * spread, errors[rank - 1])), MIN_FACTOR)


def _usable(records: Sequence[EnergyProfile]) -> tuple[list[_Row], dict[str, int]]:
    """Return what can be fitted, a network in a deployment once, and why the rest cannot."""
    rows: dict[tuple[object, ...], _Row] = {}
    unused: Counter[str] = Counter()
    for record in sorted(records, key=lambda record: record.started.timestamp()):
        energy, workload = record.energy, record.workload
        if energy is None or energy.value_j == 0:
            unused["without joules"] += 1
        elif energy.kind != "measured":
            raise MeterError(
                f"the joules of {workload.model if workload else record.key.architecture[:8]} are {energy.kind}, and a "
                "calibration needs measured ones; measure on the device itself with `econas measure`"
            )
        elif record.status not in USABLE:
            unused[record.status] += 1
        elif workload is None or workload.costs is None:
            unused["without costs"] += 1
        else:
            key = (workload.digest, workload.shape, workload.deployment, energy.device, energy.method, energy.scope)
            unused["measured again later"] += key in rows
            rows[key] = _Row(record, energy, workload, forward_work(workload.costs, workload.deployment.batch))
    return list(rows.values()), {why: count for why, count in unused.items() if count}


_TOGETHER: dict[str, Callable[[_Row], str]] = {
    "device": lambda row: row.energy.device,
    "method": lambda row: row.energy.method,
    "scope": lambda row: row.energy.scope,
    "data type": lambda row: row.workload.deployment.dtype,
}


def _check(rows: Sequence[_Row], unused: dict[str, int]) -> None:
    for what, of in _TOGETHER.items():
        found = sorted({of(row) for row in rows})
        if len(found) > 1:
            raise MeterError(
                f"the records are of more than one {what} ({', '.join(found)}), and coefficients belong to one; "
                f"name only the records of one {what}"
            )
    if len(rows) < MIN_RECORDS:
        reasons = ", ".join(f"{count} {why}" for why, count in unused.items())
        raise MeterError(
            f"{len(rows)} measured networks can be used{f' ({reasons})' if reasons else ''}, and a calibration needs "
            f"at least {MIN_RECORDS}; measure more networks of other sizes with `econas measure`"
        )


def _check_difference(rows: Sequence[_Row], works: Array, measured_j: Array) -> None:
    """Raise MeterError unless all records, and all but any one, tell the three coefficients apart."""
    scaled = _scaled(works, measured_j)[0]
    alike = "the measured networks are too alike to tell the joules of a MAC, a byte and an image apart"
    remedy = "measure networks of other sizes and kinds, or in other batches, with `econas measure`"
    if not _tells_apart(scaled):
        raise MeterError(f"{alike}; {remedy}")
    for place, row in enumerate(rows):
        if not _tells_apart(np.delete(scaled, place, axis=0)):
            raise MeterError(f"without {_name(row.workload)} {alike}, so that no error can be told; {remedy}")


def _tells_apart(scaled: Array) -> bool:
    sizes = np.linalg.svd(scaled, compute_uv=False)
    return bool(sizes[-1] > RANK_TOLERANCE * sizes[0])


def _leave_one_out(works: Array, measured_j: Array) -> list[float]:
    """Return joules per image of each network from the fit to all others."""
    others = [np.arange(len(works)) != place for place in range(len(works))]
    predicted = [float(work @ _solve(works[rest], measured_j[rest])) for work, rest in zip(works, others, strict=True)]
    if min(predicted) <= 0:
        raise MeterError(
            "the fit to all other records gives one network 0 J; measure more networks as small as the smallest ones"
        )
    return predicted


def _solve(works: Array, measured_j: Array) -> tuple[float, float, float]:
    """Return the coefficients, none negative, that make the sum of squared relative errors least."""
    scaled, lengths = _scaled(works, measured_j)
    solution, _ = nnls(scaled, np.ones(len(works)))
    mac_j, byte_j, image_j = (float(value) for value in solution / lengths)
    return mac_j, byte_j, image_j


def _scaled(works: Array, measured_j: Array) -> tuple[Array, Array]:
    """Return work per measured joule in columns of length 1, since MACs and images are 10 powers apart, and lengths."""
    relative = works / measured_j[:, np.newaxis]
    lengths = np.linalg.norm(relative, axis=0)
    lengths[lengths == 0] = 1
    return relative / lengths, lengths


def _name(workload: Workload) -> str:
    """Return a name for people; candidates of a search are all called `architecture`."""
    return f"{workload.model} {workload.digest[:8]}" if workload.model == "architecture" else workload.model
