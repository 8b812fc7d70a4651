"""Under which names a site's lists have one patient: whoever objects has to be out under all of them."""

from dataclasses import dataclass
from pathlib import Path

from fedvoxel.errors import NotBuiltError
from fedvoxel.volumes.layouts import CaseFiles, list_cases
from fedvoxel.volumes.site import CohortConfig, SiteConfig


@dataclass(frozen=True)
class Known:
    """Is what the site's lists say of one patient.

    Attributes:
        names: Every pseudonym under which they have the patient.
        cohorts: Those that list the patient today.
        unbuilt: Those without a manifest, of which nobody can tell.
    """

    names: frozenset[str]
    cohorts: tuple[str, ...]
    unbuilt: tuple[str, ...]


def known_names(site: SiteConfig, patient: str, base: Path) -> Known:
    """Returns what the lists say of a patient; one image file in two cohorts is one patient, whatever they call them.

    Of a cohort without a manifest nothing is known, whether it was never built or has lost it. By the names that are
    known the patient stays out when it is built; by another one, of that cohort alone, only who looks again then.

    Args:
        site: The site's own file.
        patient: The pseudonym that the patient is known under.
        base: The folder that relative paths in the site's file count from.

    Raises:
        CohortError: A cohort cannot be listed, so that nobody can tell.
    """
    found = {name: _listed(cohort, base) for name, cohort in site.cohorts.items()}
    listed = {name: cases for name, cases in found.items() if cases is not None}
    names, before = frozenset({patient}), frozenset[str]()
    while names != before:
        before = names
        theirs = [files for cases in listed.values() for files in cases if names_of(site, files) & names]
        images = {files.real_image for files in theirs} - {None}
        same = [files for cases in listed.values() for files in cases if files.real_image in images]
        names |= {files.patient_pseudonym(site) for files in (*theirs, *same)}
    cohorts = (name for name, cases in listed.items() if any(names_of(site, files) & names for files in cases))
    return Known(names, tuple(cohorts), tuple(name for name in found if name not in listed))


def _listed(cohort: CohortConfig, base: Path) -> tuple[CaseFiles, ...] | None:
    try:
        return list_cases(cohort, base)
    except NotBuiltError:
        return None


def names_of(site: SiteConfig, files: CaseFiles) -> set[str]:
    """Returns the pseudonyms of a case and of its patient."""
    return {files.patient_pseudonym(site), files.case_pseudonym(site)}
