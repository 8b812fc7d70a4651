"""Makes what a hospital tells somebody outside of a judgement.

It is made from what `sharing` lets through, and is stricter: no subgroup, no comparison, no calibration, and no mean
over fewer patients than the minimum, also where only a part of the patients has that score. Numbers are rounded, since
the digits of a mean may tell of the values in it. Disclosure control, not a formal privacy guarantee.
"""

from collections.abc import Callable
from typing import Any

from fedvoxel.errors import CohortError
from fedvoxel.evaluation.judgement.aggregate import Aggregate, Figure, FoundCounts, StructureAggregate
from fedvoxel.evaluation.judgement.judgement import Judgement, ScoreRow
from fedvoxel.evaluation.judgement.sharing import shareable
from fedvoxel.volumes.disclosure import disclosed_part

_DIGITS = 3
_MEANS = ("dice", "nsd", "hd95_mm", "volume_error_ml", "volume_error_percent")
_HAS: dict[str, Callable[[ScoreRow], bool]] = {
    "dice": lambda row: row.dice is not None,
    "nsd": lambda row: row.nsd is not None,
    "hd95_mm": lambda row: row.hd95_mm is not None,
    "volume_error_ml": lambda row: row.finding != "absent",
    "volume_error_percent": lambda row: row.truth_ml > 0,
    "found": lambda row: row.finding == "found",
    "misplaced": lambda row: row.finding == "misplaced",
    "missed": lambda row: row.finding == "missed",
    "false_alarms": lambda row: row.finding == "false_alarm",
}
"""Whether a case has a part in a number."""


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


def people_behind(judgement: Judgement, aggregate: Aggregate) -> dict[str, frozenset[str]]:
    """Returns of which patients each number of an aggregate is, and of which of the others it is not, by its name.

    Both by pseudonym. Where a patient is in one of two answers, and the two have the same number, it tells of the
    difference; so does the difference of those who have no such number, whose count everybody knows.
    """
    everybody = frozenset(case.patient for case in judgement.cases)
    found: dict[str, frozenset[str]] = {}
    for structure in aggregate.structures:
        rows = [(case.patient, case.scores[structure.name]) for case in judgement.cases]
        has = {field: _HAS[field] for field in _MEANS if getattr(structure, field) is not None}
        counted = structure.counts.model_dump() if structure.counts else {}
        has |= {finding: _HAS[finding] for finding, count in counted.items() if count is not None}
        for number, is_in in has.items():
            people = frozenset(patient for patient, row in rows if is_in(row))
            found[f"{structure.name}: {number}"] = people
            found[f"{structure.name}: no {number}"] = everybody - people
    return found


def _structure(told: dict[str, Any], patients: int, minimum: int) -> StructureAggregate:
    figures = {field: _figure(told[field], patients, minimum) for field in _MEANS}
    counts = FoundCounts(**{name: told["counts"][name] for name in FoundCounts.model_fields})
    return StructureAggregate(name=told["name"], label=told["label"], counts=counts, **figures)


def _figure(told: dict[str, Any] | None, patients: int, minimum: int) -> Figure | None:
    """Returns a mean, unless few patients have the score, or few have none."""
    if told is None or told["value"] is None or disclosed_part(told["patients"], patients, minimum) is None:
        return None
    low, high = (None if told[name] is None else round(told[name], _DIGITS) for name in ("low", "high"))
    return Figure(value=round(told["value"], _DIGITS), low=low, high=high, patients=told["patients"])
