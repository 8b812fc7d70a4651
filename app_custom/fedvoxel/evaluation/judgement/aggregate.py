"""The few numbers of a judgement that a hospital tells somebody outside who asked, once its people have approved that.

`aggregating` makes them. Who asks reads them without any package for images: nothing of these is imported here.
"""

from typing import Annotated, Literal, get_args

from pydantic import Field, NonNegativeInt

from fedvoxel.config import FrozenModel

AskedMetric = Literal["dice", "nsd", "hd95", "volume", "counts"]
"""What may be asked: mean Dice; mean surface Dice; mean HD95 in mm; mean volume error in mL and percent; in how many
cases a structure was found, in another place, missed, or found where there is none."""

ASKED_METRICS: tuple[AskedMetric, ...] = get_args(AskedMetric)
"""All of them."""

_Text = Annotated[str, Field(max_length=200)]
_FIELDS: dict[AskedMetric, tuple[str, ...]] = {
    "dice": ("dice",),
    "nsd": ("nsd",),
    "hd95": ("hd95_mm",),
    "volume": ("volume_error_ml", "volume_error_percent"),
    "counts": ("counts",),
}


class Figure(FrozenModel):
    """Is a mean over patients' cases with its 95 % interval, to three digits behind the point.

    Attributes:
        value: The mean.
        low: None where nothing is known of the spread.
        high: Likewise.
        patients: Of how many patients.
    """

    value: float
    low: float | None
    high: float | None
    patients: NonNegativeInt


class FoundCounts(FrozenModel):
    """Says in how many cases a structure was found; None where a number would tell of a few."""

    found: NonNegativeInt | None
    misplaced: NonNegativeInt | None
    missed: NonNegativeInt | None
    false_alarms: NonNegativeInt | None


class StructureAggregate(FrozenModel):
    """Is one structure; None is what was not asked for, or would tell of a few patients."""

    name: _Text
    label: _Text
    dice: Figure | None = None
    nsd: Figure | None = None
    hd95_mm: Figure | None = None
    volume_error_ml: Figure | None = None
    volume_error_percent: Figure | None = None
    counts: FoundCounts | None = None


class Aggregate(FrozenModel):
    """Is all that may be told.

    Attributes:
        patients: How many were judged.
        minimum_patients: No number is about fewer.
        tolerance_mm: That of NSD.
        structures: Those of which something can be told.
        not_told: Names of the others.
    """

    patients: NonNegativeInt
    minimum_patients: NonNegativeInt
    tolerance_mm: float
    structures: tuple[StructureAggregate, ...]
    not_told: tuple[_Text, ...]

    def of(self, metrics: tuple[AskedMetric, ...]) -> "Aggregate":
        """Returns what was asked for."""
        kept = {"name", "label"} | {field for metric in metrics for field in _FIELDS[metric]}
        structures = tuple(StructureAggregate(**one.model_dump(include=kept)) for one in self.structures)
        return self.model_copy(update={"structures": structures})
