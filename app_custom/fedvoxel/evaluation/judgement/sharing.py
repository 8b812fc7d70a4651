"""What of a judgement may leave the hospital: no case, no picture, and no number about a few patients.

It is written beside the whole, for a person to hand on. That is disclosure control, not a formal privacy guarantee; two
files about a cohort that changed in between, handed to the same people, undo it.
"""

from collections.abc import Sequence
from typing import Any

from fedvoxel.evaluation.judgement.comparison import Comparison, Difference
from fedvoxel.evaluation.judgement.judgement import Judgement
from fedvoxel.evaluation.judgement.summary import Counts, StructureResult
from fedvoxel.volumes.disclosure import disclosed_counts, disclosed_part

_OF_MODEL = {"schema_version", "use", "model", "settings", "implementations"}


def shareable(judgement: Judgement) -> dict[str, Any]:
    """Returns what may be handed on, as JSON values; below the minimum of patients, only that it is below."""
    minimum, data = judgement.settings.minimum_patients, judgement.data
    shown = judgement.model_dump(mode="json", include=_OF_MODEL)
    shown["data"] = {"cohort": data.cohort, "split": data.split, "hospitals": list(data.hospitals)}
    if data.patients < minimum:
        return shown | {"below_minimum": True}
    shown["data"] |= {"patients": data.patients, "patients_named": data.patients_named}
    told = [one for one in judgement.structures if _may_be_told(one.counts, data.patients, minimum)]
    names = {one.name for one in told}
    groups = [row.model_dump(mode="json", exclude={"missed"}) for row in judgement.groups if row.structure in names]
    found = {
        "below_minimum": False,
        "structures": [_structure(one, minimum) for one in told],
        "not_told": [one.name for one in judgement.structures if one.name not in names],
        "groups": groups,
        "comparison": judgement.comparison and _comparison(judgement.comparison, told, minimum),
    }
    return shown | {key: _without_cases(value) for key, value in found.items()}


def _may_be_told(counts: Counts, patients: int, minimum: int) -> bool:
    """Says whether enough patients have a score, and enough of the others have none, or all have."""
    return counts.patients >= minimum and disclosed_part(counts.patients, patients, minimum) is not None


def _structure(one: StructureResult, minimum: int) -> dict[str, Any]:
    shown = one.model_dump(mode="json", exclude={"counts": True, "hd95_median_mm": True, "pieces": {"truth"}})
    # Only patients who have the structure have a part in these; they, or the others, may be few.
    if disclosed_part(one.volume_error_percent.patients, one.counts.patients, minimum) is None:
        shown["volume_error_percent"] = shown["calibration"]["overlooked"] = None
        if one.pieces:
            shown["pieces"]["sensitivity"] = None
    told = disclosed_counts(one.counts.model_dump(include={"found", "misplaced", "missed", "false_alarms"}), minimum)
    return shown | {"counts": {"patients": one.counts.patients, **told}}


def _comparison(comparison: Comparison, told: Sequence[StructureResult], minimum: int) -> dict[str, Any]:
    """Leaves out structures of which pairs and scores differ in a few patients: the two means would tell of these."""
    scored = {one.name: one.counts.patients for one in told}
    tests = []
    for test in comparison.tests:
        name, pairs = test.whole.structure, test.whole.difference.patients
        if name in scored and disclosed_part(scored[name], pairs, minimum) is not None:
            tests.append(test.model_dump(mode="json") | {"whole": _difference(test.whole, minimum)})
    names = {test["whole"]["structure"] for test in tests}
    groups = [_difference(row, minimum) for row in comparison.groups if row.structure in names]
    shown = comparison.model_dump(mode="json", exclude={"tests", "groups"})
    return shown | {"tests": tests, "groups": groups, "non_inferior": comparison.non_inferior}


def _difference(found: Difference, minimum: int) -> dict[str, Any]:
    worse = disclosed_part(found.worse_patients, found.difference.patients, minimum)
    return found.model_dump(mode="json") | {"worse_patients": worse}


def _without_cases(shown: Any) -> Any:
    """Leaves out how many cases a number is about: with that of patients it may tell who has several."""
    if isinstance(shown, dict):
        return {key: _without_cases(value) for key, value in shown.items() if key != "cases"}
    return [_without_cases(value) for value in shown] if isinstance(shown, list) else shown
