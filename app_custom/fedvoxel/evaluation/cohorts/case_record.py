"""Reads what the datasheet is counted from: one record per usable case, none of which leaves the site."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fedvoxel.errors import GeometryError
from fedvoxel.evaluation.cohorts.all_cores import on_all_cores
from fedvoxel.evaluation.cohorts.known_facts import known_facts
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.volumes.case_facts import CaseFacts, facts_of
from fedvoxel.volumes.exclusions import admitted_cases
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.nifti import read_labelled_volume
from fedvoxel.volumes.sidecar import Sidecar
from fedvoxel.volumes.site import CohortConfig, SiteConfig
from fedvoxel.volumes.split import split_of


@dataclass(frozen=True, eq=False)
class CaseRecord:
    """Is what the datasheet needs of one usable case.

    Attributes:
        case: Its pseudonym.
        patient: Its patient's pseudonym.
        facts: What its voxels say.
        known: What its sidecar says.
        sha256: The hashes of its files, the image's first.
    """

    case: str
    patient: str
    facts: CaseFacts
    known: Sidecar
    sha256: tuple[str, ...]


@dataclass(frozen=True)
class RefusedRecord:
    """Says that a case of a patient, by pseudonym, cannot be used, and why."""

    patient: str
    reason: str


@dataclass(frozen=True)
class CohortRecords:
    """Holds a cohort's records, and whether its list names the patients."""

    cases: tuple[CaseRecord, ...]
    refused: tuple[RefusedRecord, ...]
    patients_named: bool


@dataclass(frozen=True)
class _Order:
    files: CaseFiles
    cohort: CohortConfig
    case: str
    patient: str
    known: Sidecar


def read_records(
    site: SiteConfig, cohort_name: str, base: Path, progress: Callable[[int, int], None] | None = None
) -> CohortRecords:
    """Reads every case of a cohort, on all cores.

    Raises:
        CohortError: The cohort is unknown, or its list of cases cannot be used.
    """
    cohort = site.cohort(cohort_name)
    listed = admitted_cases(site, cohort, base)
    known = known_facts(cohort, base, listed)
    orders = [
        _Order(files, cohort, files.case_pseudonym(site), files.patient_pseudonym(site), known[files.case])
        for files in listed
    ]
    outcomes = list(on_all_cores(_read, orders, progress))
    return CohortRecords(
        cases=tuple(outcome for outcome in outcomes if isinstance(outcome, CaseRecord)),
        refused=tuple(outcome for outcome in outcomes if isinstance(outcome, RefusedRecord)),
        patients_named=all(files.patient_named for files in listed),
    )


def _read(order: _Order) -> CaseRecord | RefusedRecord:
    classes = order.cohort.class_names
    try:
        volume = read_labelled_volume(order.files, order.cohort, classes, order.case)
    except GeometryError as error:
        return RefusedRecord(order.patient, error.reason)
    paths = [path for path in (order.files.image, *order.files.label) if path is not None]
    return CaseRecord(
        case=order.case,
        patient=order.patient,
        facts=facts_of(volume, classes, split_of(order.files.patient, order.cohort.split)),
        known=order.known,
        sha256=tuple(sha256_of_file(path) for path in paths),
    )
