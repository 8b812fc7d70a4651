"""Reads every case of a cohort and says what is usable, what is not, and why, before a job finds out."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fedvoxel.errors import GeometryError
from fedvoxel.volumes.exclusions import admitted_cases
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.nifti import read_labelled_volume
from fedvoxel.volumes.refusal import Refusal, refusal_of
from fedvoxel.volumes.site import CohortConfig, SiteConfig
from fedvoxel.volumes.split import SPLITS, Split, split_of

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class UsableCase:
    """Describes one usable case.

    Attributes:
        case: The case's pseudonym.
        split: The split of its patient.
        shape: Voxels along each stored axis.
        spacing_mm: Voxel size along each stored axis.
        voxels_per_class: Number of marked voxels of each class.
    """

    case: str
    split: Split
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    voxels_per_class: dict[str, int]


@dataclass(frozen=True)
class CohortReport:
    """Says which cases of a cohort are usable and which are refused, each sorted by pseudonym."""

    usable: tuple[UsableCase, ...]
    refused: tuple[Refusal, ...]

    @property
    def usable_per_split(self) -> dict[Split, int]:
        """Returns the number of usable cases in each split, zeros included."""
        counts = Counter(case.split for case in self.usable)
        return {split: counts[split] for split in SPLITS}

    @property
    def refused_per_reason(self) -> dict[str, int]:
        """Returns how many cases were refused for each reason that occurred."""
        return dict(sorted(Counter(refusal.reason for refusal in self.refused).items()))


def check_cohort(
    site: SiteConfig,
    name: str,
    classes: tuple[str, ...] | None,
    base: Path,
    progress: Progress | None = None,
) -> CohortReport:
    """Reads every case of the cohort `name`.

    Args:
        site: The site's own file.
        name: The cohort.
        classes: The job's classes, or None for all that the cohort has.
        base: The folder that relative paths in the site's file count from.
        progress: Called with (done, total) after each case.

    Raises:
        CohortError: The cohort or a class is unknown, or the list of cases cannot be used.
    """
    cohort = site.cohort(name)
    wanted = cohort.classes_for(classes)
    listed = admitted_cases(site, cohort, base)
    outcomes = []
    for done, files in enumerate(listed, start=1):
        outcomes.append(_check(files, cohort, wanted, files.case_pseudonym(site)))
        if progress is not None:
            progress(done, len(listed))
    outcomes.sort(key=lambda outcome: outcome.case)
    return CohortReport(
        usable=tuple(outcome for outcome in outcomes if isinstance(outcome, UsableCase)),
        refused=tuple(outcome for outcome in outcomes if isinstance(outcome, Refusal)),
    )


def _check(files: CaseFiles, cohort: CohortConfig, classes: tuple[str, ...], name: str) -> UsableCase | Refusal:
    try:
        volume = read_labelled_volume(files, cohort, classes, name)
    except GeometryError as error:
        return refusal_of(name, error)
    voxels = {class_name: int((volume.label == 1 + index).sum()) for index, class_name in enumerate(classes)}
    split = split_of(files.patient, cohort.split)
    return UsableCase(name, split, volume.image.shape, volume.image.spacing_mm, voxels)
