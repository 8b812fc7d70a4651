"""Loads the cases of one split, prepared for a network; one bad file never stops the others."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fedvoxel.errors import CohortError, GeometryError
from fedvoxel.volumes.exclusions import admitted_cases
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.nifti import read_labelled_volume
from fedvoxel.volumes.plan import PreparedCase, PreprocessingPlan, prepare
from fedvoxel.volumes.refusal import Refusal, refusal_of
from fedvoxel.volumes.site import CohortConfig, SiteConfig
from fedvoxel.volumes.split import Split, split_of

Loaded = tuple[tuple[PreparedCase, ...], tuple[Refusal, ...]]
"""Prepared cases, sorted by pseudonym, and the refusals of the others."""


def load_cases(
    site: SiteConfig,
    cohort_name: str,
    classes: tuple[str, ...],
    plan: PreprocessingPlan,
    split: Split,
    base: Path,
) -> Loaded:
    """Reads and prepares the cases of one split.

    Args:
        site: The site's own file.
        cohort_name: The cohort that the job names.
        classes: The job's classes.
        plan: How to prepare the volumes.
        split: Which patients; a split may be empty.
        base: The folder that relative paths in the site's file count from.

    Raises:
        CohortError: The cohort or a class is unknown, the list of cases cannot be used, or no case of any split
            can.
    """
    cases, refused = load_usable_cases(site, cohort_name, classes, plan, split, base)
    if not cases:
        cohort = site.cohort(cohort_name)
        others = [
            files for files in admitted_cases(site, cohort, base) if split_of(files.patient, cohort.split) != split
        ]
        _require_usable(site, cohort, cohort.classes_for(classes), others, refused)
    return cases, refused


def load_usable_cases(
    site: SiteConfig,
    cohort_name: str,
    classes: tuple[str, ...],
    plan: PreprocessingPlan,
    split: Split,
    base: Path,
) -> Loaded:
    """Does as `load_cases` does, but takes a cohort without any usable case: where an error would tell of patients.

    Raises:
        CohortError: The cohort or a class is unknown, or the list of cases cannot be used.
    """
    cohort = site.cohort(cohort_name)
    wanted = cohort.classes_for(classes)
    cases, refused = [], []
    for files in admitted_cases(site, cohort, base):
        if split_of(files.patient, cohort.split) != split:
            continue
        outcome = _load(files, cohort, wanted, plan, files.case_pseudonym(site))
        if isinstance(outcome, Refusal):
            refused.append(outcome)
        else:
            cases.append(replace(outcome, patient=files.patient_pseudonym(site)))
    return tuple(sorted(cases, key=lambda case: case.case)), tuple(refused)


def no_usable_case(refused: Sequence[Refusal]) -> CohortError:
    """Returns the error of a cohort without a usable case: how many cases were refused for which reason."""
    counts = Counter(refusal.reason for refusal in refused)
    listed = ", ".join(f"{count} x {reason}" for reason, count in sorted(counts.items()))
    return CohortError(
        f"the cohort has no usable case: {listed or 'it lists none'}; "
        "`fedvoxel cohort check` at the site names each case and what to do"
    )


def _load(
    files: CaseFiles, cohort: CohortConfig, classes: tuple[str, ...], plan: PreprocessingPlan, name: str
) -> PreparedCase | Refusal:
    try:
        return prepare(read_labelled_volume(files, cohort, classes, name), plan)
    except GeometryError as error:
        return refusal_of(name, error)


def _require_usable(
    site: SiteConfig,
    cohort: CohortConfig,
    classes: tuple[str, ...],
    others: list[CaseFiles],
    refused: Sequence[Refusal],
) -> None:
    """Reads on in the other splits until one case is usable, so that an empty split is told from a bad cohort."""
    tried = list(refused)
    for files in others:
        name = files.case_pseudonym(site)
        try:
            read_labelled_volume(files, cohort, classes, name)
            return
        except GeometryError as error:
            tried.append(refusal_of(name, error))
    raise no_usable_case(tried)
