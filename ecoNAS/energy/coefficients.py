"""The file of coefficients that were fitted to a device, and the estimator that prices with them.

It is the estimator of `estimate` with other numbers: joules stay estimates, carry the identity of the device behind
`calibrated:`, and have the interval that the fit came to. What was measured was gross, so idle power while a network
runs is in the coefficients. How the numbers are fitted is decided by `fit`.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, ValidationError

from ecoNAS.energy.estimate import Coefficients, MacsAndBytes, Work
from ecoNAS.errors import MeterError
from ecoNAS.frozen import Frozen
from ecoNAS.joules import EstimatedJoules
from ecoNAS.validation import in_one_line

COEFFICIENTS_VERSION: Final = 1

NotNegative = Annotated[float, Field(ge=0)]


class FittedCoefficients(Frozen):
    """What a device spends at one data type, fitted to its records.

    Attributes:
        mac_j: Joules per fused multiply-add.
        byte_j: Joules per byte that is moved, as `estimate.forward_work` counts bytes: as if all numbers were fp32.
        image_j: Joules per image besides.
        interval_factor: 95 % of the networks that were left out lie within an estimate times and divided by this.
        num_records: How many measured networks stand behind it.
    """

    mac_j: NotNegative
    byte_j: NotNegative
    image_j: NotNegative
    interval_factor: Annotated[float, Field(ge=1)]
    num_records: Annotated[int, Field(ge=1)]


class CoefficientsFile(Frozen):
    """What `econas calibrate` writes, and `energy: {meter: estimate, coefficients: FILE}` reads.

    Attributes:
        device: The identity of the device that was measured, such as a GPU's UUID.
        device_name: For people.
        method: How the records' joules were counted.
        scope: Which parts of the device they hold, and with them the estimates.
        dtypes: Coefficients by data type.
        created: When it was fitted, in UTC.
    """

    version: Literal[1] = COEFFICIENTS_VERSION
    device: str
    device_name: str
    method: str
    scope: str
    dtypes: Annotated[dict[str, FittedCoefficients], Field(min_length=1)]
    created: datetime


class CalibratedEstimator:
    """The estimator a x MACs + b x bytes + c x images with the coefficients of one device."""

    name = MacsAndBytes.name

    def __init__(self, file: CoefficientsFile) -> None:
        self.device = f"calibrated:{file.device}"
        self.scope = file.scope
        self._dtypes = file.dtypes

    def price(self, work: Work, dtype: str) -> EstimatedJoules:
        """Return the joules of `work`; the interval is the value times and divided by the fitted factor."""
        if dtype not in self._dtypes:
            raise MeterError(
                f"no calibration to estimate dtype '{dtype}' on '{self.device}' from; "
                f"choose deployment.dtype from {', '.join(sorted(self._dtypes))}"
            )
        rate = self._dtypes[dtype]
        value_j = Coefficients(rate.mac_j, rate.byte_j, rate.image_j).price_j(work)
        return EstimatedJoules(
            value_j=value_j,
            low_j=value_j / rate.interval_factor,
            high_j=value_j * rate.interval_factor,
            method=self.name,
            scope=self.scope,
            device=self.device,
        )


def read_coefficients(path: Path) -> CoefficientsFile:
    """Return the coefficients in a file.

    Raises:
        MeterError: if there is no such file, or it holds something else.
    """
    remedy = "`econas calibrate` writes such files"
    try:
        return CoefficientsFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise MeterError(f"coefficients {path} cannot be read: {error.strerror}; {remedy}") from None
    except ValidationError as error:
        why = in_one_line(error, CoefficientsFile)
        raise MeterError(f"{path} holds no coefficients of this version: {why}; {remedy}") from None
