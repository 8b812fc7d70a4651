"""Puts the sites' cohort statistics side by side and proposes the preprocessing that a job should fix.

Works on what sites send (`fedvoxel.volumes.statistics` makes it) and never on images: numpy only. What does not
fit the expected form is refused, site by site. The proposed plan is plain JSON values that
`fedvoxel.volumes.plan.PreprocessingPlan` accepts.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import CohortError, ConfigError

_SAME_SPACING = 0.01
_SAME_SCALE = 2.0
_CROP_STEP, _CROP_LIMITS = 8, (16, 160)
_AXES = ("x", "y", "z")

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Quantiles(FrozenModel):
    """Holds five quantiles over a site's cases, each a mean over at least the minimum number of cases."""

    q05: float
    q25: float
    q50: float
    q75: float
    q95: float


class Positive(Quantiles):
    """Holds quantiles of a quantity that is above zero, such as a length."""

    q05: float = Field(gt=0.0)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        values = (self.q05, self.q25, self.q50, self.q75, self.q95)
        if list(values) != sorted(values):
            raise ValueError("quantiles must not decrease")
        return self


class PerAxis(FrozenModel):
    """Holds quantiles along right (x), anterior (y) and superior (z)."""

    x: Positive
    y: Positive
    z: Positive

    def along(self, quantile: Literal["q05", "q50", "q95"]) -> tuple[float, float, float]:
        """Returns one quantile along the three axes."""
        x, y, z = (float(getattr(getattr(self, axis), quantile)) for axis in _AXES)
        return x, y, z


class Histogram(FrozenModel):
    """Holds the mean share of voxels in each bin; None is suppressed at the site."""

    edges: list[float] = Field(min_length=2, max_length=1000)
    shares: list[Share | None] = Field(max_length=999)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if len(self.edges) != len(self.shares) + 1 or np.any(np.diff(self.edges) <= 0):
            raise ValueError("expected rising edges, one more than shares")
        return self


class ClassStatistics(FrozenModel):
    """Says in how many cases a class is marked, and with how many voxels."""

    cases: Count | None
    voxels: Positive | None


class SiteStatistics(FrozenModel):
    """Is what a site with enough cases sends about its cohort."""

    schema_version: Literal[1]
    minimum_cases: int = Field(ge=1)
    below_minimum: Literal[False]
    cases: int = Field(ge=1)
    cases_per_split: dict[Literal["training", "validation", "test"], Count | None]
    refused_per_reason: dict[str, Count | None]
    spacing_mm: PerAxis
    shape: PerAxis
    intensity: dict[Literal["p0.5", "p5", "p50", "p95", "p99.5"], Quantiles] = Field(min_length=5)
    histogram: Histogram
    classes: dict[str, ClassStatistics]
    suppressed_cells: Count

    @property
    def intensity_scale(self) -> float:
        """Returns the range of intensities of the site's typical volume."""
        return self.intensity["p99.5"].q50 - self.intensity["p0.5"].q50


class BelowMinimum(FrozenModel):
    """Is what a site with too few cases sends: only that."""

    schema_version: Literal[1]
    minimum_cases: int = Field(ge=1)
    below_minimum: Literal[True]


class CohortSummary(FrozenModel):
    """Is the consortium's view of a cohort and the preprocessing proposed for it.

    Attributes:
        sites: What each site with enough cases sent.
        below_minimum: Sites with fewer cases than their minimum.
        refused: Sites whose statistics were refused, with the reason.
        histogram: The sites' histograms, weighted by cases; None if every site suppressed the bin.
        plan: Values of a PreprocessingPlan.
        crop_size: Voxels of a crop that covers 95 % of the volumes, multiples of 8, bounded.
        reasons: Why the plan is what it is, a sentence each.
    """

    schema_version: Literal[1] = 1
    sites: dict[str, SiteStatistics]
    below_minimum: list[str]
    refused: dict[str, str]
    histogram: Histogram
    plan: dict[str, Any]
    crop_size: tuple[int, int, int]
    reasons: list[str]


def merge_statistics(sent: Mapping[str, Any]) -> CohortSummary:
    """Merges what the sites sent; the result does not depend on the order of arrival.

    Args:
        sent: Site name to its statistics.

    Raises:
        CohortError: No site has enough cases, so that no plan can be made.
    """
    sites: dict[str, SiteStatistics] = {}
    below, refused = [], {}
    for name in sorted(sent):
        try:
            parsed = parse_site_statistics(sent[name], name)
        except CohortError as error:
            refused[name] = str(error)
            continue
        if isinstance(parsed, BelowMinimum):
            below.append(name)
        else:
            sites[name] = parsed
    if not sites:
        raise CohortError(
            f"no site has enough cases for statistics ({len(below)} below their minimum, {len(refused)} refused); "
            "write the job's plan by hand"
        )
    spacing_mm, why_spacing = _target_spacing(list(sites.values()))
    method, why_method = _intensity_method(list(sites.values()))
    crop_size, why_crop = _crop_size(list(sites.values()), spacing_mm)
    return CohortSummary(
        sites=sites,
        below_minimum=below,
        refused=refused,
        histogram=_pooled(list(sites.values())),
        plan={"orientation": "RAS", "spacing_mm": spacing_mm, "intensity": {"method": method}},
        crop_size=crop_size,
        reasons=[why_spacing, why_method, why_crop],
    )


def parse_site_statistics(values: Any, site: str) -> SiteStatistics | BelowMinimum:
    """Validates what a site sent.

    Raises:
        CohortError: It is not of the expected form; the message names the key.
    """
    what = f"{site}'s cohort statistics"
    try:
        if isinstance(values, Mapping) and values.get("below_minimum") is True:
            return parse_config(BelowMinimum, values, what)
        return parse_config(SiteStatistics, values, what)
    except ConfigError as error:
        raise CohortError(str(error)) from None


def _target_spacing(sites: Sequence[SiteStatistics]) -> tuple[list[float] | None, str]:
    medians = np.array([site.spacing_mm.along("q50") for site in sites])
    target = np.median(medians, axis=0)
    ends = np.array([site.spacing_mm.along(end) for site in sites for end in ("q05", "q95")])
    shown = " x ".join(f"{value:.3g}" for value in target)
    if np.all(np.abs(ends / target - 1.0) <= _SAME_SPACING):
        return None, f"all sites' voxels are {shown} mm within 1 %, so each volume keeps its own grid"
    return [round(float(value), 3) for value in target], f"voxel sizes differ; {shown} mm is the median of the sites'"


def _intensity_method(sites: Sequence[SiteStatistics]) -> tuple[str, str]:
    """Chooses how intensities are scaled.

    Where the sites' ranges agree, the two percentiles mean the same everywhere, and mapping them to 0 and 1 keeps
    the contrast as scanned. Where they do not, the upper percentile depends on the scanner's gain, coil and a few
    bright voxels, and mean and deviation, which the bulk of the voxels decide, are the safer common scale.
    """
    scales = [site.intensity_scale for site in sites]
    ratio = max(scales) / min(scales) if min(scales) > 0.0 else math.inf
    if ratio > _SAME_SCALE:
        return "zscore", f"the sites' intensity ranges differ by a factor of {ratio:.3g} (more than 2): z-score"
    return "range", f"the sites' intensity ranges agree within a factor of {ratio:.3g}: range between percentiles"


def _crop_size(sites: Sequence[SiteStatistics], spacing_mm: Sequence[float] | None) -> tuple[tuple[int, int, int], str]:
    shapes = np.array([site.shape.along("q95") for site in sites])
    if spacing_mm is not None:
        shapes = shapes * np.array([site.spacing_mm.along("q50") for site in sites]) / np.array(spacing_mm)
    low, high = _CROP_LIMITS
    steps = np.ceil(np.round(shapes.max(axis=0), 3) / _CROP_STEP) * _CROP_STEP
    x, y, z = (int(size) for size in np.clip(steps, low, high))
    bounded = ", bounded" if steps.max() > high else ""
    return (x, y, z), f"{x} x {y} x {z} voxels cover 95 % of every site's volumes (multiples of 8{bounded})"


def _pooled(sites: Sequence[SiteStatistics]) -> Histogram:
    first = sites[0].histogram.edges
    alike = [site for site in sites if site.histogram.edges == first]
    shares: list[float | None] = []
    for place in range(len(first) - 1):
        told = [(site.cases, site.histogram.shares[place]) for site in alike]
        shown = [cases * share for cases, share in told if share is not None]
        shares.append(float(f"{sum(shown) / sum(site.cases for site in alike):.6g}") if shown else None)
    return Histogram(edges=first, shares=shares)
