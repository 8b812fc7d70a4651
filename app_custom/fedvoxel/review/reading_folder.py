"""A reading from a folder of prepared files: `reading.json` and the NIfTI files that it names."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, StringConstraints, field_validator, model_validator

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.errors import ReviewError
from fedvoxel.evaluation.reading.windows import WindowPreset
from fedvoxel.export.description import Structure
from fedvoxel.records.canonical import sha256_of, sha256_of_file
from fedvoxel.review.reading import CORRECTED, CandidateName, CaseName, CaseVolumes, Reading, UncertaintyMap
from fedvoxel.volumes.nifti_file import claimed_voxels, read_nifti
from fedvoxel.volumes.nifti_label import label_on
from fedvoxel.volumes.refusal import geometry_error
from fedvoxel.volumes.volume import Affine, Volume

READING_FILE = "reading.json"
"""The name of the list in a folder that can be read."""

_SAME_MM = 1e-2
_UNCERTAINTY = "(uncertainty)"  # no candidate is called so
_FILES_AT_ONCE = 3
_FileBelow = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)*$")]


class ListedCase(FrozenModel):
    """Names the files of one case, below the folder.

    Attributes:
        case: Its pseudonym.
        image: The scan.
        labels: A label map for each candidate, such as "model" and "manual".
        uncertainty: A map of values in [0, 1], or none.
        modality: DICOM Modality, or none.
    """

    case: CaseName
    image: _FileBelow
    labels: dict[CandidateName, _FileBelow] = Field(min_length=1, max_length=4)
    uncertainty: _FileBelow | None = None
    modality: str | None = None

    @field_validator("labels")
    @classmethod
    def _no_corrected(cls, value: dict[str, str]) -> dict[str, str]:
        if CORRECTED in value:
            raise ValueError(f"{CORRECTED} is the reader's own; call the label map otherwise")
        return value


class ReadingList(FrozenModel):
    """Is the content of `reading.json`; see `Reading`."""

    schema_version: Literal[1]
    title: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    structures: Annotated[tuple[Structure, ...], Field(min_length=1, max_length=254)]
    cases: Annotated[tuple[ListedCase, ...], Field(min_length=1)]
    windows: tuple[WindowPreset, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({case.case for case in self.cases}) != len(self.cases):
            raise ValueError("a case is listed twice")
        return self


@dataclass(frozen=True)
class FolderCase:
    """Is a case of a folder."""

    folder: Path
    listed: ListedCase
    structures: int
    waiting: str | None = None
    examination: str | None = None

    @property
    def case(self) -> str:
        """Is the case's pseudonym."""
        return self.listed.case

    @property
    def candidates(self) -> tuple[str, ...]:
        """Names the case's label maps."""
        return tuple(self.listed.labels)

    def claimed_voxels(self) -> int:
        """Returns what the image's header claims."""
        return claimed_voxels(self.folder / self.listed.image)

    def load(self) -> CaseVolumes:
        """Reads the case's files.

        Raises:
            GeometryError: A file is missing, cannot be trusted, or is not on the image's grid.
        """
        files = dict(self.listed.labels)
        # Unpacking takes most of the time, and several files can be unpacked at once.
        with ThreadPoolExecutor(max_workers=_FILES_AT_ONCE) as pool:
            reading = pool.submit(read_nifti, self.folder / self.listed.image, "image", "missing_image")
            others = {name: pool.submit(self._read, file) for name, file in files.items()}
            image = Volume(*reading.result())
            codes = {code: code for code in range(1, self.structures + 1)}
            labels = {name: label_on(image, *other.result(), codes) for name, other in others.items()}
        uncertainty = {_UNCERTAINTY: self.listed.uncertainty} if self.listed.uncertainty else {}
        read = {"": self.listed.image, **files, **uncertainty}
        sha256 = {name: sha256_of_file(self.folder / file) for name, file in read.items()}
        doubt = UncertaintyMap(partial(self._uncertainty, image, sha256[_UNCERTAINTY])) if uncertainty else None
        return CaseVolumes(image, labels, sha256_of(sha256), doubt, self.listed.modality)

    def _read(self, file: str) -> tuple[NDArray[Any], Affine]:
        return read_nifti(self.folder / file, "label", "missing_label")

    def _uncertainty(self, image: Volume, sha256: str) -> NDArray[np.float32]:
        path = self.folder / str(self.listed.uncertainty)
        found = uncertainty_on(image, *read_nifti(path, "uncertainty", "missing_label"))
        if sha256_of_file(path) != sha256:
            raise ReviewError("the map of uncertainty was exchanged since the case was opened: begin in another folder")
        return found


def uncertainty_on(image: Volume, voxels: NDArray[Any], affine: Affine) -> NDArray[np.float32]:
    """Returns a map of uncertainty that was read, as float32.

    Raises:
        GeometryError: affine_mismatch or shape_mismatch, if it does not lie on the image; non_finite, if a value is
            not in [0, 1].
    """
    if voxels.shape != image.shape:
        raise geometry_error("shape_mismatch", "the uncertainty map is not on the image's grid")
    if not np.allclose(affine, image.affine, atol=_SAME_MM):
        raise geometry_error("affine_mismatch", "the uncertainty map does not lie on the image")
    values = np.asarray(voxels, dtype=np.float32)
    if not (values.min() >= 0.0 and values.max() <= 1.0):  # false for NaN, too
        raise geometry_error("non_finite", "uncertainty: expected values from 0 to 1")
    return values


def open_reading_folder(folder: Path) -> Reading:
    """Reads the list of a folder; the cases' files are read when they are opened.

    Raises:
        ConfigError: The list is missing or wrong.
        ReviewError: A listed file is not there.
    """
    listed = load_json_config(ReadingList, folder / READING_FILE, "the list of what is to be read")
    for case in listed.cases:
        files = [case.image, *case.labels.values(), *([case.uncertainty] if case.uncertainty else [])]
        missing = sum(not (folder / file).is_file() for file in files)
        if missing:
            raise ReviewError(f"{case.case}: {missing} of the files that {READING_FILE} lists are not there")
    cases = tuple(FolderCase(folder, case, len(listed.structures)) for case in listed.cases)
    return Reading(listed.title, listed.structures, cases, sha256_of(listed.model_dump(mode="json")), listed.windows)
