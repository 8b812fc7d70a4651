"""Lists the cases of a cohort that `fedvoxel cohort build` made, by its manifest.

The manifest is believed only if it is consistent and was written under the settings that the site's file holds today:
a cohort that was built otherwise is to be built again first, so that a job trains on what the file describes.
"""

from dataclasses import replace
from pathlib import Path

from fedvoxel.errors import CohortError
from fedvoxel.volumes.cohort.manifest import KINDS, Manifest, ManifestCase, RefusedCase, read_manifest
from fedvoxel.volumes.cohort.settings import settings_hash
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.refusal import Reason
from fedvoxel.volumes.site import CohortConfig
from fedvoxel.volumes.split import split_of


def list_built(cohort: CohortConfig, folder: Path) -> list[CaseFiles]:
    """Lists every case of the manifest, the refused ones with their reason.

    Args:
        cohort: The cohort's description.
        folder: The built cohort.

    Raises:
        CohortError: It is not built yet, or was built under other settings, or its manifest was changed.
    """
    manifest = read_manifest(folder)
    _require_current(manifest, cohort)
    cases = [_files(entry, folder) for entry in manifest.cases]
    return [replace(files, named_under=manifest.key_check) for files in [*cases, *map(_refused, manifest.refused)]]


def _require_current(manifest: Manifest, cohort: CohortConfig) -> None:
    settings = settings_hash(cohort)
    moved = [entry for entry in manifest.cases if entry.split != split_of(entry.patient, cohort.split)]
    what = ""
    if manifest.classes != cohort.classes:
        what = "classes"
    elif settings is not None and settings != manifest.settings_sha256:
        what = "build.labels or build.deid"
    elif moved:
        what = "split"
    if what:
        raise CohortError(f"{what} in the site's file changed after the cohort was built: run `fedvoxel cohort build`")


def _files(entry: ManifestCase, folder: Path) -> CaseFiles:
    places = {kind: folder / place.format(entry.case) for kind, place in KINDS.items()}
    image, label = places["image"], places["label"]
    problem: Reason | None = None
    if not image.is_file():
        problem = "missing_image"
    elif not label.is_file():
        problem = "missing_label"
    hashes = tuple((path, getattr(entry.sha256, kind)) for kind, path in places.items())
    return CaseFiles(entry.case, entry.patient, image, (label,), problem, sha256=hashes)


def _refused(entry: RefusedCase) -> CaseFiles:
    refusal = (entry.reason, entry.message)
    return CaseFiles(entry.case, entry.patient, None, (), "missing_image", refusal=refusal)
