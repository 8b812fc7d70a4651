"""Which of a site's cohorts have patients in common, and whether a cohort names its patients at all.

A promise to each patient covers all scans of the patient, wherever the site lists them. A patient is known by the name
that the site's lists give (PatientID, in a cohort that was built from DICOM, whatever its project), and by the image
file itself: one file in two cohorts is one patient, whatever it is called.
Two names for one patient cannot be seen here, and one name for two patients only makes a cohort look shared. Nothing is
opened but the lists, and nothing that is returned or raised names a patient, a case or a file.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fedvoxel.volumes.exclusions import admitted_cases
from fedvoxel.volumes.site import CohortConfig, SiteConfig


@dataclass(frozen=True)
class CohortPatients:
    """Says whose scans a cohort lists; stays inside the site.

    Attributes:
        names: The patients' pseudonyms at this site, also of those whose scans cannot be used today.
        images: The image files, resolved.
        unnamed_cases: Whole cases whose patient the list does not name, each of which stands for one of its own.
        several_scans: Whether one patient has more than one whole case.
    """

    names: frozenset[str]
    images: frozenset[Path]
    unnamed_cases: int
    several_scans: bool

    def shares_with(self, other: "CohortPatients") -> bool:
        """Says whether a patient is in both."""
        return bool(self.names & other.names or self.images & other.images)


def patients_of(site: SiteConfig, cohort: CohortConfig, base: Path) -> CohortPatients:
    """Reads whose scans a cohort lists.

    Args:
        site: The site's own file, for the pseudonyms.
        cohort: The cohort's description.
        base: The folder that relative paths in the description count from.

    Raises:
        CohortError: The list of cases cannot be used.
    """
    # A row without a case name has no patient: what stands for one, its number, is in every table.
    listed = [files for files in admitted_cases(site, cohort, base) if files.problem != "unnamed_case"]
    whole = [files for files in listed if files.problem is None]
    scans = Counter(files.patient for files in whole)
    return CohortPatients(
        names=frozenset(files.patient_pseudonym(site) for files in listed),
        images=frozenset(files.real_image for files in listed if files.real_image is not None),
        unnamed_cases=sum(not files.patient_named for files in whole),
        several_scans=max(scans.values(), default=0) > 1,
    )


def cohorts_sharing(site: SiteConfig, cohort: str, base: Path) -> tuple[str, ...]:
    """Returns the names of the site's other cohorts that have a patient of `cohort`, sorted.

    Args:
        site: The site's own file.
        cohort: One of its cohorts.
        base: The folder that relative paths in the site's file count from.

    Raises:
        CohortError: The cohort is unknown, or a list of cases cannot be used, so that nobody can tell.
    """
    patients = patients_of(site, site.cohort(cohort), base)
    others = (name for name in sorted(site.cohorts) if name != cohort)
    return tuple(name for name in others if patients.shares_with(patients_of(site, site.cohorts[name], base)))


def unnamed_problem(site: SiteConfig, cohort: CohortConfig, base: Path) -> str | None:
    """Returns why a cohort's patients cannot be protected one by one as it is described; None where they can.

    Raises:
        CohortError: The list of cases cannot be used.
    """
    patients = patients_of(site, cohort, base)
    if cohort.one_scan_per_patient:
        contradicted = "one_scan_per_patient is true, but its list names a patient with several cases; write false"
        return contradicted if patients.several_scans else None
    if not patients.unnamed_cases:
        return None
    return (
        f"{patients.unnamed_cases} of its cases name no patient, so that a patient with several scans would count as "
        'several; fill in the column "patient" of a csv table, or, where each patient has exactly one scan in it, '
        'write "one_scan_per_patient": true'
    )
