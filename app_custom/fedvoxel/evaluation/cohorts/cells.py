"""Divides patients into the cells of a table, none of which is about fewer than a minimum number of them.

Each table divides the same patients once, with what is too small put together, so that totals minus shown cells leave
nothing; a table of which no line could be named is left empty. Numbers of cases are shown only where they do not tell
that few patients have, or lack, a second one.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.cohorts.patients import Patient
from fedvoxel.volumes.disclosure import OTHER, disclosed_part, merged_bands, merged_counts, rolled_up_names

AGE_EDGES = (18.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0)
"""Where age bands may begin, in years; nobody's age above 90 is told (as HIPAA's safe harbour has it)."""

_AGE_UNKNOWN = "not known"
_AGES_OF_FEW = "known"  # of too few patients for a band: put together with others, or all are


class Cell(FrozenModel):
    """Is one line of a table: a value, how many patients have it, and their cases, or None if that is not told."""

    name: str
    patients: int
    cases: int | None = None


def told_cases(patients: Sequence[Patient], minimum: int) -> int | None:
    """Returns the number of cases, or None where it, with the number of patients, would tell of a small group."""
    several = sum(len(patient.cases) > 1 for patient in patients)
    if disclosed_part(several, len(patients), minimum) is None:
        return None
    return sum(len(patient.cases) for patient in patients)


def cells_of(patients: Sequence[Patient], value: Callable[[Patient], str], minimum: int) -> tuple[Cell, ...]:
    """Returns the cells of a value that each patient has one of, the largest first."""
    return _cells(patients, [value(patient) for patient in patients], minimum)


def scanner_cells(patients: Sequence[Patient], minimum: int) -> tuple[Cell, ...]:
    """Returns the cells of modality, maker, model and field strength: one table, as each depends on the others."""
    names = rolled_up_names(Counter(patient.scanner for patient in patients), minimum)
    return _cells(patients, [names[patient.scanner] for patient in patients], minimum)


def age_cells(patients: Sequence[Patient], minimum: int) -> tuple[Cell, ...]:
    """Returns the cells of age bands, the youngest first; bands are joined until each holds the minimum."""
    ages = [patient.age for patient in patients]
    bands = merged_bands([age for age in ages if age is not None], AGE_EDGES, minimum)
    order = [_band_words(low, high) for low, high, _ in bands]
    cells = _cells(patients, [band_name(age, bands) for age in ages], minimum)
    return tuple(sorted(cells, key=lambda cell: order.index(cell.name) if cell.name in order else len(order)))


def _cells(patients: Sequence[Patient], values: Sequence[str], minimum: int) -> tuple[Cell, ...]:
    told = merged_counts(Counter(values), minimum)
    if set(told) == {OTHER}:
        return ()
    groups: dict[str, list[Patient]] = {name: [] for name in told}
    for patient, value in zip(patients, values, strict=True):
        groups[value if value in told else OTHER].append(patient)
    cases = {name: told_cases(group, minimum) for name, group in groups.items()}
    all_told = None not in cases.values()
    cells = [Cell(name=name, patients=told[name], cases=cases[name] if all_told else None) for name in told]
    return tuple(sorted(cells, key=lambda cell: (cell.name == OTHER, -cell.patients, cell.name)))


def band_name(age: float | None, bands: Sequence[tuple[float, float, int]]) -> str:
    """Returns the name of the band, of those that `volumes.disclosure.merged_bands` gives, in which an age lies."""
    if age is None:
        return _AGE_UNKNOWN
    if not bands:
        return _AGES_OF_FEW
    return next(_band_words(low, high) for low, high, _ in bands if low <= age < high)


def _band_words(low: float, high: float) -> str:
    if low == -float("inf"):
        return "all ages" if high == float("inf") else f"under {high:.0f}"
    return f"{low:.0f} and older" if high == float("inf") else f"{low:.0f} to {high - 1:.0f}"
