"""Makes a labelled volume out of a case's files: an image, and one label map or one mask per class."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import GeometryError
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.volumes.label_codes import recode
from fedvoxel.volumes.layouts import CaseFiles
from fedvoxel.volumes.nifti_file import read_nifti
from fedvoxel.volumes.refusal import geometry_error
from fedvoxel.volumes.site import CohortConfig
from fedvoxel.volumes.sources import BidsSource
from fedvoxel.volumes.volume import Affine, LabelledVolume, Volume

# Two affines are the same when no corner of the volume moves by more than this share of a voxel.
_CORNER_TOLERANCE = 0.25


def read_labelled_volume(
    files: CaseFiles, cohort: CohortConfig, classes: tuple[str, ...], pseudonym: str, may_be_empty: bool = False
) -> LabelledVolume:
    """Reads and judges one case.

    Args:
        files: Where the case is.
        cohort: The cohort's description, for the label codes.
        classes: The job's classes; class i becomes the code 1 + i.
        pseudonym: The case's name in the result and in errors.
        may_be_empty: Whether a label may mark nothing, as where a lesion is looked for and there is none.

    Raises:
        GeometryError: The case cannot be used; `reason` says why, the message holds no path and no name.
    """
    try:
        _require_pair(files)
        voxels, affine = read_nifti(files.image or Path(), "image", "missing_image")
        image = Volume(voxels, affine)
        label = read_label(files.label, cohort, classes, image)
        if not may_be_empty and not label.any():
            raise geometry_error("empty_label", "no voxel is marked")
        return LabelledVolume(pseudonym, image, label)
    except GeometryError as error:
        raise GeometryError(error.reason, f"{pseudonym}: {error}") from None


def _require_pair(files: CaseFiles) -> None:
    """Refuses a case without image and label, or whose files are not those that were built."""
    if files.refusal is not None:
        raise GeometryError(*files.refusal)
    if files.problem is not None or files.image is None:
        raise geometry_error(files.problem or "missing_image", "the case's files do not make a pair")
    for path, expected in files.sha256:
        try:
            found = sha256_of_file(path)
        except OSError as error:
            raise geometry_error("unreadable", f"a file cannot be read ({type(error).__name__})") from None
        if found != expected:
            raise geometry_error("changed_file", "a file of the case is not the one that was built")


def read_label(
    paths: tuple[Path, ...], cohort: CohortConfig, classes: tuple[str, ...], image: Volume
) -> NDArray[np.uint8]:
    """Reads the label of an image: codes (X, Y, Z) on its voxels, class i as 1 + i.

    Args:
        paths: One label map, or one mask for each class of a BIDS cohort.
        cohort: The cohort's description, for the label codes.
        classes: The job's classes.
        image: What it must lie on.

    Raises:
        GeometryError: It cannot be read, does not lie on the image's voxels, or holds other codes.
    """
    if not isinstance(cohort.source, BidsSource):
        codes = {cohort.classes[name]: 1 + index for index, name in enumerate(classes)}
        return recode(_on_grid(paths[0], image), codes)
    painted = np.zeros(image.shape, dtype=np.uint8)
    for name, path in zip(cohort.class_names, paths, strict=True):
        if name in classes:
            mask = recode(_on_grid(path, image), {1: 1})
            painted[mask == 1] = 1 + classes.index(name)
    return painted


def _on_grid(path: Path, image: Volume) -> NDArray[np.generic]:
    voxels, affine = read_nifti(path, "label", "missing_label")
    if voxels.shape != image.shape:
        shapes = " and ".join("x".join(map(str, shape)) for shape in (image.shape, voxels.shape))
        raise geometry_error("shape_mismatch", f"image and label have the shapes {shapes}")
    moved_mm = _largest_move_mm(image.affine, affine, image.shape)
    if moved_mm > _CORNER_TOLERANCE * min(image.spacing_mm):
        raise geometry_error("affine_mismatch", f"the label lies {moved_mm:.3g} mm away from the image")
    return voxels


def _largest_move_mm(first: Affine, second: Affine, shape: tuple[int, int, int]) -> float:
    ends = [(0.0, size - 1.0) for size in shape]
    corners = np.array([(x, y, z, 1.0) for x in ends[0] for y in ends[1] for z in ends[2]])
    return float(np.linalg.norm(corners @ (first - second).T, axis=1).max())
