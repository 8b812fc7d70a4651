"""Makes a cohort's datasheet: what the consortium is told about it, in numbers that are each about enough patients.

It is meant to be handed on, by a person. Nothing in it is about fewer patients than the minimum, nor can such a
number be computed from it (see `cells` and `volumes.disclosure`); that is disclosure control, not a formal privacy
guarantee. Two datasheets of a cohort that changed in between, handed to the same people, undo it.
Source: Gebru et al. 2021, Datasheets for Datasets, Communications of the ACM 64(12).
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from fedvoxel import __version__
from fedvoxel.config import FrozenModel
from fedvoxel.errors import CohortError
from fedvoxel.evaluation.cohorts.answers import HospitalAnswers
from fedvoxel.evaluation.cohorts.case_record import CohortRecords, RefusedRecord
from fedvoxel.evaluation.cohorts.cells import Cell, age_cells, cells_of, scanner_cells, told_cases
from fedvoxel.evaluation.cohorts.deid_settings import DeidSettings, deid_settings
from fedvoxel.evaluation.cohorts.hashes import CohortHashes, cohort_hashes
from fedvoxel.evaluation.cohorts.patients import Patient, patients_of
from fedvoxel.evaluation.cohorts.private_folder import OWNER_ONLY_FILE
from fedvoxel.evaluation.cohorts.spreads import IntensityBin, Spread, intensity_bins, spreads_of
from fedvoxel.records.atomic import write_json, write_text
from fedvoxel.volumes.disclosure import merged_counts
from fedvoxel.volumes.site import CohortConfig
from fedvoxel.volumes.split import SPLITS, SplitFractions


class RefusedCells(FrozenModel):
    """Says how many patients have cases that cannot be used, by reason.

    Attributes:
        told: "none", "counted", or "few" where fewer patients than the minimum have any.
    """

    told: Literal["none", "counted", "few"]
    cells: tuple[Cell, ...] = ()


class Composition(FrozenModel):
    """Is what a cohort consists of; each table divides the same patients.

    Attributes:
        cases: Usable cases, or None if that would tell how many scans few patients have.
        marked: Which classes are marked together.
    """

    patients: int
    cases: int | None
    splits: tuple[Cell, ...]
    scanners: tuple[Cell, ...]
    sexes: tuple[Cell, ...]
    ages: tuple[Cell, ...]
    marked: tuple[Cell, ...]
    spreads: tuple[Spread, ...]
    intensities: tuple[IntensityBin, ...]


class Datasheet(FrozenModel):
    """Is a cohort's datasheet.

    Attributes:
        minimum_patients: No number is about fewer patients than this.
        patients_named: Whether the cohort's list names patients; if not, each case counts as one.
        composition: What is in it; None if it has fewer patients than the minimum.
        deidentification: How it was de-identified; None if the site's file does not say.
        hashes: What identifies this state of the cohort; None below the minimum.
    """

    schema_version: Literal[1] = 1
    fedvoxel_version: str = __version__
    cohort: str
    classes: tuple[str, ...]
    layout: str
    minimum_patients: int
    patients_named: bool
    split_fractions: SplitFractions
    composition: Composition | None
    refused: RefusedCells | None
    deidentification: DeidSettings | None
    hashes: CohortHashes | None
    answers: HospitalAnswers = HospitalAnswers()


def make_datasheet(
    cohort: CohortConfig, name: str, base: Path, records: CohortRecords, minimum: int, answers: HospitalAnswers
) -> Datasheet:
    """Returns the datasheet of a cohort.

    Args:
        cohort: The cohort's description.
        name: Its name.
        base: The folder that relative paths in the site's file count from.
        records: What was read of its cases.
        minimum: No number is about fewer patients than this.
        answers: What the hospital says.
    """
    patients = patients_of(records.cases)
    enough = len(patients) >= max(minimum, 1)
    return Datasheet(
        cohort=name,
        classes=cohort.class_names,
        layout=cohort.source.layout,
        minimum_patients=minimum,
        patients_named=records.patients_named,
        split_fractions=cohort.split,
        composition=_composition(patients, cohort.class_names, minimum) if enough else None,
        refused=_refused(records.refused, minimum) if enough else None,
        deidentification=deid_settings(cohort),
        hashes=cohort_hashes(cohort, base, records.cases) if enough else None,
        answers=answers,
    )


def write_datasheet(sheet: Datasheet, folder: Path) -> Path:
    """Writes datasheet.html and datasheet.json, readable by their owner, and returns the page's path.

    Raises:
        CohortError: The folder cannot be written.
    """
    from fedvoxel.evaluation.cohorts.datasheet_page import render_datasheet

    page = folder / "datasheet.html"
    try:
        write_json(folder / "datasheet.json", datasheet_values(sheet), OWNER_ONLY_FILE)
        write_text(page, render_datasheet(sheet), OWNER_ONLY_FILE)
    except OSError as error:
        raise CohortError(f"the datasheet cannot be written: {error.strerror}; choose another --out") from None
    return page


def datasheet_values(sheet: Datasheet) -> dict[str, Any]:
    """Returns the datasheet as JSON values."""
    return sheet.model_dump(mode="json")


def _composition(patients: Sequence[Patient], classes: tuple[str, ...], minimum: int) -> Composition:
    return Composition(
        patients=len(patients),
        cases=told_cases(patients, minimum),
        splits=_in_order(cells_of(patients, lambda patient: patient.split, minimum)),
        scanners=scanner_cells(patients, minimum),
        sexes=cells_of(patients, lambda patient: patient.sex, minimum),
        ages=age_cells(patients, minimum),
        marked=cells_of(patients, lambda patient: " + ".join(patient.marked), minimum),
        spreads=spreads_of(patients, classes, minimum),
        intensities=intensity_bins(patients, minimum),
    )


def _in_order(cells: tuple[Cell, ...]) -> tuple[Cell, ...]:
    names: tuple[str, ...] = SPLITS
    return tuple(sorted(cells, key=lambda cell: names.index(cell.name) if cell.name in names else len(names)))


def _refused(refused: Sequence[RefusedRecord], minimum: int) -> RefusedCells:
    reasons: dict[str, set[str]] = defaultdict(set)
    for record in refused:
        reasons[record.patient].add(record.reason)
    if not reasons:
        return RefusedCells(told="none")
    counts: dict[str, int] = defaultdict(int)
    for found in reasons.values():
        counts[found.pop() if len(found) == 1 else "several reasons"] += 1
    told = merged_counts(counts, minimum)
    cells = tuple(Cell(name=name, patients=count) for name, count in told.items())
    return RefusedCells(told="counted" if cells else "few", cells=cells)
