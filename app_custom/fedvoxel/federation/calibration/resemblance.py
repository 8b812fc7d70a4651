"""How far an image is from those that a model was trained on, in a few declared features of image and result.

The distance is Mahalanobis': large where a feature, or a combination of features, is unlike what the training cases
had. Mean and covariance come from sums over hospitals; the covariance is shrunk, since there are seldom many more cases
than features. It says that an image is unusual, and never that one is good.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.federation.calibration.moments import Moments, Names, Numbers, Table

_LEAST_DEVIATION = 0.05
"""Of every feature: what is the same in all training cases may differ a little. Features are logarithms, or near 1."""


class Reference(FrozenModel):
    """Is what training cases looked like.

    Attributes:
        names: The features.
        cases: How many cases were added up.
        mean: Mean of each feature.
        deviation: Standard deviation of each feature, at least its floor.
        precision: Inverse of the shrunk correlation of the features.
    """

    names: Names
    cases: int = Field(ge=2)
    mean: Numbers
    deviation: Numbers
    precision: Table

    @model_validator(mode="after")
    def _fits(self) -> Self:
        size = len(self.names)
        shapes = [len(self.mean), len(self.deviation), len(self.precision), *map(len, self.precision)]
        if any(length != size for length in shapes) or min(self.deviation) <= 0:
            raise ValueError(f"expected {size} means, positive deviations, and a square precision")
        return self

    def scaled(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns how many standard deviations each feature is off its mean."""
        return np.asarray((features - np.array(self.mean)) / np.array(self.deviation))

    def distance(self, features: NDArray[np.float64]) -> float:
        """Returns the distance of an image's features from the mean; about 1 for an image like the training cases'.

        Source: Mahalanobis 1936, divided by the number of features before the root is taken.
        """
        scaled = self.scaled(features)
        squared = float(scaled @ np.array(self.precision) @ scaled)
        return float(np.sqrt(max(squared, 0.0) / len(self.names)))


def reference_of(moments: Moments) -> Reference:
    """Returns the reference of some cases' features.

    Args:
        moments: Of one row per case, at least two.
    """
    variance = np.maximum(np.diag(moments.covariance), 0.0)
    deviation = np.maximum(np.sqrt(variance), _LEAST_DEVIATION)
    correlation = moments.covariance / np.outer(deviation, deviation)
    np.fill_diagonal(correlation, 1.0)  # also where the floor is above what training cases show
    inverse = np.linalg.inv(_shrunk(correlation, moments.rows))
    return Reference(
        names=moments.names,
        cases=moments.rows,
        mean=tuple(moments.mean.tolist()),
        deviation=tuple(deviation.tolist()),
        precision=tuple(tuple(row) for row in ((inverse + inverse.T) / 2).tolist()),
    )


def _shrunk(correlation: NDArray[np.float64], cases: int) -> NDArray[np.float64]:
    """Returns a correlation moved towards the identity, as far as so few cases ask for.

    Source: Chen, Wiesel, Eldar and Hero 2010, "Shrinkage Algorithms for MMSE Covariance Estimation", equation 23 (OAS).
    """
    size = len(correlation)
    squared = float(np.sum(correlation**2))
    above = (1 - 2 / size) * squared + size**2
    below = (cases + 1 - 2 / size) * (squared - size)
    share = min(1.0, above / below) if below > 0 else 1.0
    return (1 - share) * correlation + share * np.eye(size)
