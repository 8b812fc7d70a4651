"""Finds a cohort's cases, whatever the layout: a table, a Decathlon dataset.json, BIDS derivatives, or a manifest.

Nothing is opened but the lists; a case whose files do not make a pair is kept, with its problem, so that it is
reported and not silently left out.
"""

import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from fedvoxel.errors import CohortError
from fedvoxel.volumes.refusal import Reason
from fedvoxel.volumes.site import CohortConfig, SiteConfig
from fedvoxel.volumes.sources import BidsSource, BuiltSource, CsvSource


@dataclass(frozen=True)
class CaseFiles:
    """Is where one case's files are; stays inside the site.

    Attributes:
        case: The site's own name of the case.
        patient: The site's own name of the patient, which decides the split.
        image: The image, or None if there is none.
        label: One label map, or one mask per class of a BIDS cohort; empty if there is none.
        problem: Why the files do not make a pair, or None.
        patient_named: Whether the list names the patient; where it does not, the case stands for one of its own.
        named_under: The `key_check` of the site's key if case and patient are pseudonyms already, as in a built cohort.
        sha256: Files of the case and what each must hash to; empty where nobody has said.
        refusal: Why a case that was to be built is none, as (reason, message); None otherwise.
    """

    case: str
    patient: str
    image: Path | None
    label: tuple[Path, ...]
    problem: Reason | None = None
    patient_named: bool = True
    named_under: str | None = None
    sha256: tuple[tuple[Path, str], ...] = ()
    refusal: tuple[str, str] | None = None

    @property
    def real_image(self) -> Path | None:
        """Is the image behind links; one whose links go in a circle is itself, and cannot be read."""
        return None if self.image is None else Path(os.path.realpath(self.image))

    def case_pseudonym(self, site: SiteConfig) -> str:
        """Returns the name under which the case is known outside the site.

        Raises:
            CohortError: It was given under another `pseudonym_key`.
        """
        return site.pseudonym_of(self.case) if self.is_named_by_site(site) else self.case

    def patient_pseudonym(self, site: SiteConfig) -> str:
        """Returns the name under which the patient is known outside the site, the same in every cohort.

        Raises:
            CohortError: It was given under another `pseudonym_key`, so that nobody could tell the patient elsewhere.
        """
        return site.pseudonym_of(self.patient) if self.is_named_by_site(site) else self.patient

    def is_named_by_site(self, site: SiteConfig) -> bool:
        """Says whether case and patient have the site's own names, and are no pseudonyms yet.

        Raises:
            CohortError: They are pseudonyms under another `pseudonym_key` than the site's.
        """
        if self.named_under is not None and self.named_under != site.key_check:
            raise CohortError(
                "a built cohort was built under another pseudonym_key than the site's file has: its patients cannot be "
                "told in other cohorts; run `fedvoxel cohort build` again, or give the site its former key back"
            )
        return self.named_under is None


def list_cases(cohort: CohortConfig, base: Path) -> tuple[CaseFiles, ...]:
    """Lists a cohort's cases by name.

    Args:
        cohort: The cohort's description.
        base: The folder that relative paths in the description count from.

    Returns:
        Each case once, sorted; `problem` is set where files are missing or a case or file is there twice.

    Raises:
        CohortError: The list itself (table, dataset.json, BIDS root, participants.tsv) cannot be used.
    """
    found = _found(cohort, base)
    names = Counter(files.case for files in found)
    images = Counter(files.real_image for files in found if files.image is not None)
    once = {files.case: files for files in found}
    twice = {
        files.case
        for files in found
        if names[files.case] > 1 or (files.image is not None and images[files.real_image] > 1)
    }
    return tuple(
        replace(files, problem="duplicate_case") if case in twice else files for case, files in sorted(once.items())
    )


def _found(cohort: CohortConfig, base: Path) -> list[CaseFiles]:
    from fedvoxel.volumes.bids_layout import list_bids
    from fedvoxel.volumes.built_layout import list_built
    from fedvoxel.volumes.table_layouts import list_csv, list_decathlon

    source = cohort.source
    if isinstance(source, BidsSource):
        return list_bids(source, base / source.root)
    if isinstance(source, CsvSource):
        return list_csv(base / source.table)
    if isinstance(source, BuiltSource):
        return list_built(cohort, base / source.folder)
    return list_decathlon(base / source.dataset_json)
