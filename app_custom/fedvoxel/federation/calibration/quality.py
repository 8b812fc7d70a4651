"""An estimate of a structure's Dice without its truth: a ridge regression, solved from sums over hospitals."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.federation.calibration.moments import Moments, Names, Numbers

TARGET = "dice"
"""The name of what is estimated: the last of the moments."""

_RIDGE = 0.01
_LEAST_DEVIATION = 1e-6


class QualityModel(FrozenModel):
    """Estimates one structure's Dice from features of image and result.

    Attributes:
        names: The features.
        mean: Mean of each feature over the cases that it was fitted on.
        deviation: Their standard deviation.
        weights: What a standard deviation of each feature adds to the Dice.
        intercept: The Dice at the mean.
        residual: Root of the mean squared error on the cases that it was fitted on, clean and degraded.
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

    def estimate(self, features: NDArray[np.float64]) -> float:
        """Returns the estimated Dice, 0 to 1, of features (len(names),)."""
        scaled = (features - np.array(self.mean)) / np.array(self.deviation)
        return float(np.clip(self.intercept + scaled @ np.array(self.weights), 0.0, 1.0))


def fit_quality(moments: Moments, patients: int) -> QualityModel:
    """Returns the ridge regression of the last quantity, the Dice, on the others.

    The penalty is a hundredth of the rows on features that are scaled to a deviation of 1; a feature that did not vary
    gets no weight. Source: Hoerl and Kennard 1970.

    Args:
        moments: Of the features and, last, `TARGET`.
        patients: Of how many patients the rows are.
    """
    deviation = np.sqrt(np.maximum(np.diag(moments.covariance), 0.0))
    varies = deviation[:-1] > _LEAST_DEVIATION
    scale = np.where(varies, deviation[:-1], 1.0)
    covariance = moments.covariance
    inner = covariance[:-1, :-1] / np.outer(scale, scale) + _RIDGE * np.eye(len(scale))
    outer = covariance[:-1, -1] / scale
    weights = np.where(varies, np.linalg.solve(inner, outer), 0.0)
    explained = 2 * weights @ outer - weights @ (inner - _RIDGE * np.eye(len(scale))) @ weights
    return QualityModel(
        names=moments.names[:-1],
        mean=tuple(moments.mean[:-1].tolist()),
        deviation=tuple(scale.tolist()),
        weights=tuple(weights.tolist()),
        intercept=float(moments.mean[-1]),
        residual=float(np.sqrt(max(covariance[-1, -1] - explained, 0.0))),
        patients=patients,
        rows=moments.rows,
    )
