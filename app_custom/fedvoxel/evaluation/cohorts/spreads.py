"""Tells how sizes, volumes and intensities spread over patients: means of groups of patients, never one of them."""

from collections import Counter
from collections.abc import Sequence

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.cohorts.patients import Patient
from fedvoxel.volumes.case_facts import PERCENTILES
from fedvoxel.volumes.disclosure import grouped_quantiles
from fedvoxel.volumes.statistics import summarise_facts

_AXES = ("left to right", "back to front", "bottom to top")


class Spread(FrozenModel):
    """Is how one measure spreads.

    Attributes:
        subject: "voxel size", "voxels", "volume" or "intensity".
        name: Which one: an axis, a class, a percentile.
        unit: "mm", "mL", or "" for a plain number.
        quantiles: By q05, q25, q50, q75, q95; each the mean of a group of patients.
    """

    subject: str
    name: str
    unit: str
    quantiles: dict[str, float]


class IntensityBin(FrozenModel):
    """Is a range of intensities and the mean share of a scan's voxels in it; 0 where too few patients have any."""

    low: float
    high: float
    share: float


def spreads_of(patients: Sequence[Patient], classes: tuple[str, ...], minimum: int) -> tuple[Spread, ...]:
    """Returns the spreads; of a class only where enough patients have it marked."""
    facts = [patient.facts for patient in patients]
    columns = [("voxel size", axis, "mm", [each.spacing_mm[place] for each in facts]) for place, axis in _enumerated()]
    columns += [("voxels", axis, "", [float(each.shape[place]) for each in facts]) for place, axis in _enumerated()]
    columns += [
        ("volume", name, "mL", [patient.millilitres(name) for patient in patients if name in patient.marked])
        for name in classes
    ]
    columns += [
        ("intensity", f"{percentile:g} % lie below", "", [each.percentiles[place] for each in facts])
        for place, percentile in enumerate(PERCENTILES)
    ]
    return tuple(
        Spread(subject=subject, name=name, unit=unit, quantiles=grouped_quantiles(values, minimum))
        for subject, name, unit, values in columns
        if len(values) >= max(minimum, 1)
    )


def intensity_bins(patients: Sequence[Patient], minimum: int) -> tuple[IntensityBin, ...]:
    """Returns the bins from the first to the last that is not empty."""
    histogram = summarise_facts([patient.facts for patient in patients], Counter(), minimum)["histogram"]
    edges, shares = histogram["edges"], histogram["shares"]
    bins = [
        IntensityBin(low=low, high=high, share=share or 0.0)
        for low, high, share in zip(edges[:-1], edges[1:], shares, strict=True)
    ]
    filled = [place for place, each in enumerate(bins) if each.share]
    return tuple(bins[filled[0] : filled[-1] + 1]) if filled else ()


def _enumerated() -> list[tuple[int, str]]:
    return list(enumerate(_AXES))
