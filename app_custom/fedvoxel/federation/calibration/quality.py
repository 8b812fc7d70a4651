"""An estimate of a structure's Dice without its truth: a ridge regression, solved from sums over hospitals.

Each feature may push the estimate in the one direction that makes sense, or not at all: agreement up, entropy down.
With few patients that keeps a regression from learning the spoilings that it was fitted on instead of what quality is.
"""

from collections.abc import Mapping, Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.federation.calibration.moments import Moments, Names, Numbers, add_moments

TARGET = "dice"
"""The name of what is estimated: the last of the moments."""

QUALITY_SIGNS: Mapping[str, int] = {
    "absent": -1,
    "expected_dice": 1,
    "entropy": -1,
    "disagreement_entropy": -1,
    "agreement": 1,
    "least_agreement": 1,
    "border_sureness": 1,
    "largest_part": 1,
    "parts": -1,
    "volume_small": -1,
    "volume_large": -1,
    "at_the_edge": -1,
    "distance": -1,
    "texture_off": -1,
    "found_off": -1,
}
"""The features of a result (`evaluation.uncertainty.result_features` computes them): 1 where more of it can only mean a
higher Dice, -1 where a lower one."""

RIDGE = 0.3
"""The penalty over the number of rows, on features that are scaled to a deviation of 1."""

_MOST_PASSES = 10_000
_SETTLED = 1e-10
_LEAST_DEVIATION = 1e-6


class QualityModel(FrozenModel):
    """Estimates one structure's Dice from features of image and result.

    Attributes:
        names: The features.
        mean: Mean of each feature over the cases that it was fitted on.
        deviation: Their standard deviation.
        weights: What a standard deviation of each feature adds to the Dice.
        intercept: The Dice at the mean.
        residual: Root of the mean squared error on cases, clean and spoilt, of hospitals that were left out, each
            in turn; with one hospital only, on its own.
        patients: How many patients these were of.
        rows: How many cases.
    """

    names: Names
    mean: Numbers
    deviation: Numbers
    weights: Numbers
    intercept: float
    residual: float = Field(ge=0)
    patients: int = Field(ge=1)
    rows: int = Field(ge=2)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        size = len(self.names)
        if {len(self.mean), len(self.deviation), len(self.weights)} != {size} or min(self.deviation) <= 0:
            raise ValueError(f"expected {size} means, positive deviations, and weights")
        return self

    def error_on(self, moments: Moments) -> float:
        """Returns the mean squared error on the rows of some moments, before estimates are held within 0 to 1."""
        weights = np.array(self.weights) / np.array(self.deviation)
        offset = self.intercept - weights @ np.array(self.mean)
        off = np.append(-weights, 1.0)  # the Dice less what the features make of it
        squares = off @ np.array(moments.products) @ off - 2 * offset * (off @ np.array(moments.sums))
        return float(max(squares / moments.rows + offset**2, 0.0))

    def estimate(self, features: NDArray[np.float64]) -> float:
        """Returns the estimated Dice, 0 to 1, of features (len(names),)."""
        scaled = (features - np.array(self.mean)) / np.array(self.deviation)
        return float(np.clip(self.intercept + scaled @ np.array(self.weights), 0.0, 1.0))


def fit_hospitals(parts: Sequence[Moments], patients: int) -> QualityModel:
    """Returns the model that is fitted on all hospitals, with the error on each as if it had not taken part.

    Args:
        parts: One per hospital, of the same quantities.
        patients: Of how many patients all rows are.

    Raises:
        ValueError: They are of different quantities, or there are none.
    """
    whole = add_moments(parts)
    if whole is None:
        raise ValueError("expected moments of at least one hospital")
    model = fit_quality(whole, patients)
    squares = 0.0
    for place, part in enumerate(parts):
        others = add_moments([*parts[:place], *parts[place + 1 :]])
        squares += part.rows * (fit_quality(others, patients) if others else model).error_on(part)
    return model.model_copy(update={"residual": float(np.sqrt(squares / whole.rows))})


def fit_quality(
    moments: Moments, patients: int, signs: Mapping[str, int] = QUALITY_SIGNS, ridge: float = RIDGE
) -> QualityModel:
    """Returns the ridge regression of the last quantity, the Dice, on the others.

    A feature that did not vary gets no weight. The error is that on the same rows. Sources: Hoerl and Kennard 1970;
    Lawson and Hanson 1974 for the signs.

    Args:
        moments: Of the features and, last, `TARGET`.
        patients: Of how many patients the rows are.
        signs: By feature, see `QUALITY_SIGNS`; one that is not named may do either.
        ridge: See `RIDGE`.
    """
    deviation = np.sqrt(np.maximum(np.diag(moments.covariance), 0.0))
    varies = deviation[:-1] > _LEAST_DEVIATION
    scale = np.where(varies, deviation[:-1], 1.0)
    covariance = moments.covariance
    inner = covariance[:-1, :-1] / np.outer(scale, scale) + ridge * np.eye(len(scale))
    outer = covariance[:-1, -1] / scale
    wanted = np.array([signs.get(name, 0) for name in moments.names[:-1]])
    weights = np.where(varies, _signed(inner, np.where(varies, outer, 0.0), wanted), 0.0)
    model = QualityModel(
        names=moments.names[:-1],
        mean=tuple(moments.mean[:-1].tolist()),
        deviation=tuple(scale.tolist()),
        weights=tuple(weights.tolist()),
        intercept=float(moments.mean[-1]),
        residual=0.0,
        patients=patients,
        rows=moments.rows,
    )
    return model.model_copy(update={"residual": float(np.sqrt(model.error_on(moments)))})


def _signed(inner: NDArray[np.float64], outer: NDArray[np.float64], signs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns the weights w that minimise w inner w / 2 - outer w with these signs, one coordinate after the other."""
    weights = np.zeros(len(outer))
    for _ in range(_MOST_PASSES):
        before = weights.copy()
        for place, sign in enumerate(signs):
            rest = outer[place] - inner[place] @ weights + inner[place, place] * weights[place]
            best = rest / inner[place, place]
            weights[place] = best if sign == 0 or best * sign > 0 else 0.0
        if np.abs(weights - before).max() < _SETTLED:
            break
    return weights
