"""A Gaussian process over decisions and costs: what is not known yet of a candidate, and how surely.

The kernel is a sum of three: effects of single decisions (linear in their encoding, each decision with a weight of its
own), a smooth function of the exact costs (Matern 5/2 with a length for each), and interactions of both (the product of
that Matern with a squared exponential over the decisions). Hyperparameters are the mode of their posterior under weak
priors. See Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), chapters 2, 4 and 5.

The fit starts anew from the same point each time, so what is predicted depends on the data alone and not on the way
there. Targets come standardised; what they mean is decided by `cost_aware`.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

Floats = NDArray[np.float64]

NUM_ITERATIONS = 60
CHUNK = 256  # candidates predicted at a time: what fits a core's cache
JITTER = 1e-6
SMALLEST = 1e-9  # variance
BOUNDS = (-9.0, 6.0)  # of every logarithm


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is known of candidates.

    Attributes:
        decisions: (candidates, features), encoded, each in 0..1.
        numbers: (candidates, numbers), standardised.
    """

    decisions: Floats
    numbers: Floats

    def __len__(self) -> int:
        return len(self.decisions)

    def take(self, places: Sequence[int] | NDArray[np.int64]) -> "Inputs":
        """Return some of them."""
        return Inputs(self.decisions[places], self.numbers[places])


@dataclass(frozen=True, slots=True)
class _Hyper:
    """Hyperparameters in their own units, as tensors."""

    closeness: Tensor  # (decisions,): how much a change of a decision changes interactions
    lengths: Tensor  # (numbers,)
    linear: Tensor  # variances
    smooth: Tensor
    product: Tensor
    noise: Tensor
    shares: Tensor  # (decisions,), sum to 1: of the linear part


@dataclass(frozen=True, slots=True)
class _Fitted:
    """What predictions are made from, in one precision."""

    hyper: _Hyper
    x: Tensor
    z: Tensor
    factor: Tensor
    weights: Tensor

    def single(self) -> "_Fitted":
        """Return all of it in single precision."""
        hyper = _Hyper(**{name: getattr(self.hyper, name).float() for name in _Hyper.__slots__})
        return _Fitted(hyper, self.x.float(), self.z.float(), self.factor.float(), self.weights.float())


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one core: the matrices are small, and the other cores train."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class GaussianProcess:
    """A surrogate of one target; `fit`, then `predict`.

    Attributes:
        evidence: Logarithm of the probability of what was observed, but for a constant.
        settled: (candidates,), what the targets are expected to be without the noise that is known of them. Noise that
            was found belongs to the candidates and stays.
    """

    evidence: float
    settled: Floats

    def __init__(self, groups: Sequence[str], num_numbers: int) -> None:
        """Prepare.

        Args:
            groups: (features,), the decision that each feature stands for.
            num_numbers: How many exact or predicted numbers a candidate has.
        """
        names = list(dict.fromkeys(groups))
        self._group = torch.tensor([names.index(name) for name in groups])
        self._num_groups = len(names)
        self._num_numbers = num_numbers
        # Between two values of a one-hot decision the squared distance is 2: halved, a full change counts 1.
        widths = np.array([groups.count(name) for name in groups])
        self._factors = np.where(widths > 2, math.sqrt(0.5), 1.0)

    def optimise(self, inputs: Inputs, targets: Floats, noise: Floats | None = None) -> Floats:
        """Return the logarithms of the hyperparameters that these data make most probable; see `fit`."""
        x, z = self._tensors(inputs, inputs.decisions.mean(axis=0))
        y, identity = torch.as_tensor(targets), torch.eye(len(targets), dtype=torch.float64)
        extra = torch.diag(_variances(targets, noise))

        def loss(point: Floats) -> tuple[float, Floats]:
            logs = torch.tensor(point, requires_grad=True)
            hyper = self._unpack(logs)
            kernel = self._kernel(hyper, x, z, x, z) + (hyper.noise + JITTER) * identity + extra
            factor, failed = torch.linalg.cholesky_ex(kernel)
            if failed:
                return 1e10, np.zeros_like(point)
            weights = torch.cholesky_solve(y[:, None], factor)[:, 0]
            value = 0.5 * y @ weights + factor.diagonal().log().sum() + self._prior(logs)
            value.backward()
            assert logs.grad is not None
            return value.item(), logs.grad.numpy()

        start = self._start()
        found = minimize(
            loss,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[BOUNDS] * len(start),
            options={"maxiter": NUM_ITERATIONS},
        )
        return np.asarray(found.x, dtype=np.float64)

    @torch.no_grad()
    def fit(self, inputs: Inputs, targets: Floats, logs: Floats, noise: Floats | None = None) -> "GaussianProcess":
        """Take in what was observed.

        Args:
            inputs: Of the candidates observed.
            targets: (candidates,), standardised.
            logs: Hyperparameters as `optimise` returns them.
            noise: (candidates,), known variances of the targets, which are added to the one found; None for none.
        """
        self._mean = inputs.decisions.mean(axis=0)
        hyper = self._unpack(torch.as_tensor(logs))
        x, z = self._tensors(inputs, self._mean)
        y, extra = torch.as_tensor(targets), _variances(targets, noise)
        kernel = self._kernel(hyper, x, z, x, z)
        factor = torch.linalg.cholesky(kernel + torch.diag(extra + hyper.noise + JITTER))
        weights = torch.cholesky_solve(y[:, None], factor)[:, 0]
        self._fitted = _Fitted(hyper, x, z, factor, weights)
        self.evidence = float(-0.5 * y @ weights - factor.diagonal().log().sum())
        self.settled = (y - extra * weights).numpy()
        return self

    @torch.no_grad()
    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the function itself, without noise, (candidates,) each.

        They are computed in single precision, in half the time: pools are large.
        """
        means, deviations, fitted = [], [], self._fitted.single()
        for part in _chunks(inputs):
            _, cross, explained, variance = self._explain(part, fitted)
            means.append(cross @ fitted.weights)
            deviations.append((variance - (explained**2).sum(dim=0)).clamp(min=SMALLEST).sqrt())
        return torch.cat(means).double().numpy(), torch.cat(deviations).double().numpy()

    @torch.no_grad()
    def doubt_left(self, inputs: Inputs, believed: Inputs) -> Floats:
        """Return the share of the standard deviations, (candidates,), that is left once `believed` are observed too.

        That they come out as predicted is what is believed, so the means stay as they are.
        """
        fitted = self._fitted
        x, _, explained_there, variance_there = self._explain(believed, fitted)
        left = self._kernel(fitted.hyper, *x, *x) - explained_there.T @ explained_there
        left += torch.diag((fitted.hyper.noise + JITTER).expand(len(variance_there)))
        factor = torch.linalg.cholesky(left)
        shares = []
        for part in _chunks(inputs):
            here, _, explained, variance = self._explain(part, fitted)
            shared = self._kernel(fitted.hyper, *x, *here) - explained_there.T @ explained
            gained = torch.linalg.solve_triangular(factor, shared, upper=False)
            before = (variance - (explained**2).sum(dim=0)).clamp(min=SMALLEST)
            after = (before - (gained**2).sum(dim=0)).clamp(min=SMALLEST)
            shares.append((after / before).sqrt())
        return torch.cat(shares).numpy()

    def _explain(self, inputs: Inputs, fitted: "_Fitted") -> tuple[tuple[Tensor, Tensor], Tensor, Tensor, Tensor]:
        """Return inputs as tensors, their covariance with what was observed, that over its factor, and variances."""
        x, z = (tensor.to(fitted.x.dtype) for tensor in self._tensors(inputs, self._mean))
        cross = self._kernel(fitted.hyper, x, z, fitted.x, fitted.z)
        explained = torch.linalg.solve_triangular(fitted.factor, cross.T, upper=False)
        return (x, z), cross, explained, self._diagonal(fitted.hyper, x)

    def _tensors(self, inputs: Inputs, mean: Floats) -> tuple[Tensor, Tensor]:
        return torch.as_tensor((inputs.decisions - mean) * self._factors), torch.as_tensor(inputs.numbers)

    def _start(self) -> Floats:
        groups, numbers = self._num_groups, self._num_numbers
        first = [math.log(1.5 / math.sqrt(groups))] * groups + [0.7] * numbers + [-1.0] * 3 + [-4.0]
        return np.array(first + [0.0] * groups)

    def _prior(self, logs: Tensor) -> Tensor:
        """Return minus the logarithm of the prior: normal in the logarithms, around the start."""
        groups, numbers = self._num_groups, self._num_numbers
        widths = [1.0] * (groups + numbers) + [2.0] * 3 + [math.sqrt(2.0)] + [math.sqrt(0.5)] * groups
        away = (logs - torch.as_tensor(self._start())) / torch.tensor(widths, dtype=torch.float64)
        return (away**2).sum() / 2

    def _unpack(self, logs: Tensor) -> _Hyper:
        groups, end = self._num_groups, self._num_groups + self._num_numbers
        linear, smooth, product, noise = logs[end : end + 4].exp()
        return _Hyper(
            logs[:groups].exp(),
            logs[groups:end].exp(),
            linear,
            smooth,
            product,
            noise,
            torch.softmax(logs[end + 4 :], dim=0),
        )

    def _kernel(self, hyper: _Hyper, x: Tensor, z: Tensor, other_x: Tensor, other_z: Tensor) -> Tensor:
        shares, closeness = hyper.shares.sqrt()[self._group], hyper.closeness.sqrt()[self._group]
        single = 2 * (x * shares) @ (other_x * shares).T
        reach = torch.sqrt(5 * _squared_distances(z / hyper.lengths, other_z / hyper.lengths) + 1e-12)
        matern = (1 + reach + reach**2 / 3) * torch.exp(-reach)
        alike = torch.exp(-_squared_distances(x * closeness, other_x * closeness))
        return hyper.linear * single + (hyper.smooth + hyper.product * alike) * matern

    def _diagonal(self, hyper: _Hyper, x: Tensor) -> Tensor:
        shares = hyper.shares.sqrt()[self._group]
        return hyper.linear * 2 * ((x * shares) ** 2).sum(dim=1) + hyper.smooth + hyper.product


def _chunks(inputs: Inputs) -> Iterator[Inputs]:
    for first in range(0, max(len(inputs), 1), CHUNK):
        part = slice(first, first + CHUNK)
        yield Inputs(inputs.decisions[part], inputs.numbers[part])


def _variances(targets: Floats, noise: Floats | None) -> Tensor:
    return torch.as_tensor(noise) if noise is not None else torch.zeros(len(targets), dtype=torch.float64)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    return ((a**2).sum(dim=1)[:, None] + (b**2).sum(dim=1)[None, :] - 2 * a @ b.T).clamp(min=0)
