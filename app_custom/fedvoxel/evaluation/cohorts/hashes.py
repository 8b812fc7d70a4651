"""Names the state of a cohort: a hash that changes when a case, a file, a split or the classes change."""

from collections.abc import Sequence
from pathlib import Path

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.cohorts.case_record import CaseRecord
from fedvoxel.records.canonical import sha256_of
from fedvoxel.volumes.cohort.manifest import read_manifest
from fedvoxel.volumes.site import CohortConfig
from fedvoxel.volumes.sources import BuiltSource


class CohortHashes(FrozenModel):
    """Holds the hashes.

    Attributes:
        cohort_sha256: Of a built cohort's manifest, or of the usable cases' pseudonyms, splits and files.
        settings_sha256: Of the settings that a built cohort was made with; None for another.
        of: What the cohort's hash was made from.
    """

    cohort_sha256: str
    settings_sha256: str | None
    of: str


def cohort_hashes(cohort: CohortConfig, base: Path, cases: Sequence[CaseRecord]) -> CohortHashes:
    """Returns the hashes; pseudonyms are keyed, so that nobody can try whose files would give them.

    Raises:
        CohortError: A built cohort's manifest cannot be read.
    """
    if isinstance(cohort.source, BuiltSource):
        manifest = read_manifest(base / cohort.source.folder)
        return CohortHashes(
            cohort_sha256=manifest.cohort_sha256,
            settings_sha256=manifest.settings_sha256,
            of="the manifest of the built cohort",
        )
    entries = sorted((case.case, case.patient, case.facts.split, *case.sha256) for case in cases)
    return CohortHashes(
        cohort_sha256=sha256_of({"classes": [cohort.class_names, cohort.classes], "cases": entries}),
        settings_sha256=None,
        of="classes, and pseudonym, split and files of each usable case",
    )
