"""What is in a built cohort: each case with the hashes of its files, and what was refused and why.

The manifest holds pseudonyms, hashes, reasons and counts. It is sorted, holds no time and no path but its own files',
so that the same scans under the same settings give the same manifest, whatever the order, the number of cores or the
interruptions.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel, parse_config, read_json
from fedvoxel.errors import CohortError, ConfigError, NotBuiltError
from fedvoxel.records.atomic import write_json
from fedvoxel.records.canonical import sha256_of
from fedvoxel.volumes.sources import ClassCode, ClassName
from fedvoxel.volumes.split import Split

MANIFEST = "manifest.json"
KINDS = {"image": "images/{}.nii.gz", "label": "labels/{}.nii.gz", "sidecar": "sidecars/{}.json"}
"""The place of each of a case's files in the cohort's folder."""

STAGED = {"image": "image.nii.gz", "label": "label.nii.gz", "sidecar": "sidecar.json"}
"""Their names in the folder of the task that makes them."""

CaseName = Annotated[str, Field(pattern=r"^case-[0-9a-f]{12}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
KeyCheck = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
ReasonName = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]
_OWNER_ONLY = 0o600


class FileHashes(FrozenModel):
    """Is the SHA-256 of each of a case's files, whose names follow from the case; see `KINDS`."""

    image: Sha256
    label: Sha256
    sidecar: Sha256


class ManifestCase(FrozenModel):
    """Is one case: its pseudonym, its patient's, the split, and its files."""

    case: CaseName
    patient: CaseName
    split: Split
    sha256: FileHashes


class RefusedCase(FrozenModel):
    """Is one series that was to be a case and is none.

    Attributes:
        patient: The patient's pseudonym, or the case's where the patient is not known.
        message: What was found and what to do, without anything from the source's header.
    """

    case: CaseName
    patient: CaseName
    reason: ReasonName
    message: Annotated[str, Field(max_length=500)]


class Manifest(FrozenModel):
    """Is the content of `manifest.json`.

    Attributes:
        classes: The code of each class in the labels.
        settings_sha256: Of the settings that decide what is in a file; see `settings.settings_hash`.
        key_check: Tells the site's key, under which cases and patients are named, from another.
        files_refused: How many source files were not taken into any series, by reason.
        cohort_sha256: Names what a job trains on: settings (with the classes), cases, patients, splits and files.
    """

    schema_version: Literal[1] = 1
    classes: dict[ClassName, ClassCode]
    settings_sha256: Sha256
    key_check: KeyCheck
    cases: tuple[ManifestCase, ...]
    refused: tuple[RefusedCase, ...]
    files_refused: dict[ReasonName, Annotated[int, Field(ge=1)]]
    cohort_sha256: Sha256

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        names = [entry.case for entry in self.cases] + [entry.case for entry in self.refused]
        if len(set(names)) != len(names):
            raise ValueError("a case is there twice")
        if any(listed != sorted(listed) for listed in (names[: len(self.cases)], names[len(self.cases) :])):
            raise ValueError("the cases are not sorted")
        if self.cohort_sha256 != cohort_hash(self.settings_sha256, self.cases):
            raise ValueError("cohort_sha256 is not that of the cases: the manifest was changed after it was written")
        return self


def cohort_hash(settings_sha256: str, cases: Sequence[ManifestCase]) -> str:
    """Returns the hash that names a cohort: the same for the same settings, cases, splits and files."""
    return sha256_of({"settings": settings_sha256, "cases": [case.model_dump() for case in cases]})


def manifest_of(
    classes: Mapping[str, int],
    settings_sha256: str,
    key_check: str,
    cases: Sequence[ManifestCase],
    refused: Sequence[RefusedCase],
    files_refused: Mapping[str, int],
) -> Manifest:
    """Returns the manifest of these cases, sorted."""
    ordered = tuple(sorted(cases, key=lambda entry: entry.case))
    return Manifest(
        classes=dict(classes),
        settings_sha256=settings_sha256,
        key_check=key_check,
        cases=ordered,
        refused=tuple(sorted(refused, key=lambda entry: entry.case)),
        files_refused=dict(sorted(files_refused.items())),
        cohort_sha256=cohort_hash(settings_sha256, ordered),
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes `manifest.json`, or leaves the old one.

    Raises:
        OSError: The disk is full or not writable.
    """
    write_json(folder / MANIFEST, manifest.model_dump(), _OWNER_ONLY)


def read_manifest(folder: Path) -> Manifest:
    """Reads a built cohort's manifest.

    Raises:
        NotBuiltError: It is missing.
        CohortError: It cannot be read, or is not as it was written.
    """
    if not (folder / MANIFEST).is_file():
        raise NotBuiltError("the cohort is not built yet: run `fedvoxel cohort build` first")
    try:
        return parse_config(Manifest, read_json(folder / MANIFEST, "the cohort's manifest"), "the cohort's manifest")
    except ConfigError as error:
        raise CohortError(f"{error}; run `fedvoxel cohort build` again") from None
