"""How the updates of a round become one: their mean by cases, or a rule that a few bad sites cannot steer."""

from typing import Annotated, Literal

from pydantic import Field

from fedvoxel.config import FrozenModel
from fedvoxel.updates.update import MAX_ABSOLUTE_VALUE


class WeightedMean(FrozenModel):
    """Configures FedAvg's mean, weighted by cases: one bad site moves it as far as it likes."""

    name: Literal["mean"] = "mean"

    @property
    def least_sites(self) -> int:
        """Is the number of updates that the rule needs."""
        return 1


class NormBound(FrozenModel):
    """Configures the mean of updates whose L2 norm is cut to `most_norm`: a bad site moves it a bounded way.

    Source: Sun et al., "Can You Really Backdoor Federated Learning?", 2019, section 4.
    """

    name: Literal["norm_bound"]
    most_norm: float = Field(gt=0, le=MAX_ABSOLUTE_VALUE)

    @property
    def least_sites(self) -> int:
        """Is the number of updates that the rule needs."""
        return 1


class CoordinateMedian(FrozenModel):
    """Configures the median of each value over the sites.

    Source: Yin et al., "Byzantine-Robust Distributed Learning", ICML 2018, Definition 1.
    """

    name: Literal["median"]

    @property
    def least_sites(self) -> int:
        """Is the number of updates that the rule needs: of two, the median is the mean."""
        return 3


class TrimmedMean(FrozenModel):
    """Configures the mean of each value over the sites without its `trim` largest and `trim` smallest.

    Source: Yin et al., 2018, Definition 2, with trim = beta m.
    """

    name: Literal["trimmed_mean"]
    trim: int = Field(default=1, ge=1, le=5000)

    @property
    def least_sites(self) -> int:
        """Is the number of updates that the rule needs."""
        return 2 * self.trim + 1


class MultiKrum(FrozenModel):
    """Configures the mean of the n - f updates that lie closest to their n - f - 2 nearest others.

    Source: Blanchard et al., "Machine Learning with Adversaries", NeurIPS 2017, sections 3 and 5, with f = `bad_sites`.
    """

    name: Literal["multi_krum"]
    bad_sites: int = Field(default=1, ge=1, le=5000)

    @property
    def least_sites(self) -> int:
        """Is the number of updates that the rule needs: 2f + 3."""
        return 2 * self.bad_sites + 3


class GeometricMedian(FrozenModel):
    """Configures the point with the least sum of distances to all updates.

    Source: Pillutla et al., "Robust Aggregation for Federated Learning", IEEE TSP 2022, Algorithm 2 with R =
    `iterations` and nu = 1e-6.
    """

    name: Literal["geometric_median"]
    iterations: int = Field(default=100, ge=1, le=10_000)

    @property
    def least_sites(self) -> int:
        """Is the number of updates that the rule needs: between two, every point is a median."""
        return 3


RobustRule = CoordinateMedian | TrimmedMean | MultiKrum | GeometricMedian
AggregationConfig = Annotated[WeightedMean | NormBound | RobustRule, Field(discriminator="name")]
