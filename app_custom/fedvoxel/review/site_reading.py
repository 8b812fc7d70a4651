"""A reading of a site's own cohort: its scans and its own labels, which are the one candidate "manual"."""

from dataclasses import dataclass
from pathlib import Path

from fedvoxel.export.description import Code, Structure
from fedvoxel.records.canonical import sha256_of, sha256_of_file
from fedvoxel.review.reading import CaseVolumes, Reading
from fedvoxel.volumes.exclusions import admitted_cases
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.nifti import read_labelled_volume
from fedvoxel.volumes.nifti_file import claimed_voxels
from fedvoxel.volumes.site import CohortConfig, SiteConfig

MANUAL = "manual"
"""The candidate that a site's own labels are."""

_TISSUE = Code(scheme="SCT", value="85756007", meaning="Tissue")
_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 200, 140), (240, 228, 66), (204, 121, 167), (213, 94, 0))
"""Told apart by the colour-blind, too. Source: Okabe and Ito 2008, Color Universal Design."""


@dataclass(frozen=True)
class SiteCase:
    """Is a case of a site's cohort."""

    case: str
    files: CaseFiles
    cohort: CohortConfig
    classes: tuple[str, ...]
    waiting: str | None = None
    examination: str | None = None
    candidates: tuple[str, ...] = (MANUAL,)

    def claimed_voxels(self) -> int:
        """Returns what the image's header claims."""
        return 0 if self.files.image is None else claimed_voxels(self.files.image)

    def load(self) -> CaseVolumes:
        """Reads the scan and its label.

        Raises:
            GeometryError: The case cannot be used.
        """
        volume = read_labelled_volume(self.files, self.cohort, self.classes, self.case)
        read = (self.files.image, *self.files.label)
        read_from = sha256_of([sha256_of_file(path) for path in read if path is not None])
        return CaseVolumes(volume.image, {MANUAL: volume.label}, read_from)


def open_site_cohort(site: SiteConfig, cohort_name: str, base: Path, classes: tuple[str, ...] | None = None) -> Reading:
    """Lists a cohort's cases; the files are read when a case is opened.

    Args:
        site: The site's own file.
        cohort_name: The cohort.
        base: The folder that relative paths in the site's file count from.
        classes: What to show; None for all of the cohort's classes.

    Raises:
        CohortError: The cohort is unknown or cannot be listed.
        ReviewError: It has no case.
    """
    cohort = site.cohort(cohort_name)
    wanted = cohort.classes_for(classes)
    cases = tuple(
        SiteCase(files.case_pseudonym(site), files, cohort, wanted) for files in admitted_cases(site, cohort, base)
    )
    identity = sha256_of([cohort_name, wanted, [case.case for case in cases]])
    return Reading(f"Cohort {cohort_name}", plain_structures(wanted), cases, identity)


def plain_structures(names: tuple[str, ...]) -> tuple[Structure, ...]:
    """Returns structures of whose kind nothing is known but their names."""
    return tuple(
        Structure(
            name=name,
            label=name.replace("_", " "),
            category=_TISSUE,
            type=_TISSUE,
            colour_rgb=_COLOURS[place % len(_COLOURS)],
        )
        for place, name in enumerate(names)
    )
