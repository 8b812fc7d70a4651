"""The few numbers of a judgement that a hospital tells somebody outside who asked, once its people have approved that.

It is made from what `sharing` lets through, and is stricter: no subgroup, no comparison, no calibration, and no mean
over fewer patients than the minimum, also where only a part of the patients has that score. Numbers are rounded, since
the digits of a mean may tell of the values in it. Disclosure control, not a formal privacy guarantee.
"""

from typing import Annotated, Any

from pydantic import Field, NonNegativeInt

from fedvoxel.config import FrozenModel
from fedvoxel.errors import CohortError
from fedvoxel.evaluation.judgement.asked_metrics import AskedMetric
from fedvoxel.evaluation.judgement.judgement import Judgement
from fedvoxel.evaluation.judgement.sharing import shareable
from fedvoxel.volumes.disclosure import disclosed_part

_DIGITS = 3
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


def aggregate_of(judgement: Judgement) -> Aggregate:
    """Returns all that may be told of a judgement.

    Raises:
        CohortError: It is of fewer patients than its minimum.
    """
    shared, minimum = shareable(judgement), judgement.settings.minimum_patients
    if shared["below_minimum"]:
        raise CohortError(f"fewer than {minimum} patients could be judged: nothing may be told of so few")
    patients = judgement.data.patients
    structures = tuple(_structure(one, patients, minimum) for one in shared["structures"])
    if judgement.data.cases != patients:  # several cases may be one patient's
        structures = tuple(one.model_copy(update={"counts": None}) for one in structures)
    return Aggregate(
        patients=patients,
        minimum_patients=minimum,
        tolerance_mm=judgement.settings.tolerance_mm,
        structures=structures,
        not_told=tuple(shared["not_told"]),
    )


def _structure(told: dict[str, Any], patients: int, minimum: int) -> StructureAggregate:
    means = [field for fields in _FIELDS.values() for field in fields if field != "counts"]
    figures = {field: _figure(told[field], patients, minimum) for field in means}
    counts = FoundCounts(**{name: told["counts"][name] for name in FoundCounts.model_fields})
    return StructureAggregate(name=told["name"], label=told["label"], counts=counts, **figures)


def _figure(told: dict[str, Any] | None, patients: int, minimum: int) -> Figure | None:
    """Returns a mean, unless few patients have the score, or few have none."""
    if told is None or told["value"] is None or disclosed_part(told["patients"], patients, minimum) is None:
        return None
    low, high = (None if told[name] is None else round(told[name], _DIGITS) for name in ("low", "high"))
    return Figure(value=round(told["value"], _DIGITS), low=low, high=high, patients=told["patients"])
