"""Images that a hippocampus model was not made for, and the studies that it was: which are told apart, and by what."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.parts import Values
from benchmarks.quality.training import Hospitals
from fedvoxel.dicom.series import find_series
from fedvoxel.dicom.study_series import read_study_series
from fedvoxel.errors import FedVoxelError
from fedvoxel.evaluation.uncertainty.examination import Model, likeness_of
from fedvoxel.evaluation.uncertainty.probability import Voxels
from fedvoxel.federation.calibration.calibration import Calibration
from fedvoxel.federation.calibration.limits import limits_of
from fedvoxel.volumes.dicom_volume import volume_of_study
from fedvoxel.volumes.nifti_file import read_nifti
from fedvoxel.volumes.plan import PreparedImage, prepare_image
from fedvoxel.volumes.volume import Volume, spacing_of

CROPS = 6
"""Random boxes of each wrong image, of a hippocampus crop's size and called 1 mm: nothing of their size tells."""

_BOX = (35, 50, 36)
_RIGHT = "hippocrop"
_WRONG_FILES = ("ct_mr_small/example_[cm]*.nii.gz", "icbm152_from_pypi/*_t1.nii.gz")
_ONE_EACH = "spinal_cord_gm_6sites/bids/sub-*/**/anat/*run-1*.nii.gz"
_LEAST_SPREAD = 0.05


def verdicts(data: Path, hospitals: Hospitals, model: Model, calibration: Calibration) -> list[Values]:
    """Returns the distance and verdict of every image: wrong ones, boxes of them, and studies of the right kind."""
    limits, rows = limits_of(calibration.distances), []
    random = np.random.default_rng(hospitals.task.training.seed)

    def judge(name: str, group: str, image: Voxels, spacing_mm: tuple[float, float, float]) -> None:
        likeness = likeness_of(image, spacing_mm, model.probabilities(image), calibration.plan)
        verdict = "alike" if likeness.distance <= limits.warn else "unusual"
        verdict = "refused" if likeness.distance > limits.refuse else verdict
        rows.append({"name": name, "group": group, "distance": likeness.distance, "verdict": verdict})

    for name, group, prepared in images_of(data, hospitals):
        judge(name, group, prepared.image, spacing_of(prepared.affine))
        for box in _boxes(prepared.image, random) if group == "wrong" else ():
            judge(name, "box of wrong", box, (1.0, 1.0, 1.0))
    for site in hospitals.sites.values():
        for case in site.test:
            judge("test", "test", case.image, case.spacing_mm)
    return rows


def images_of(data: Path, hospitals: Hospitals) -> Iterator[tuple[str, str, PreparedImage]]:
    """Yields (name, "wrong" or "right", image) of all images that make a volume."""
    plan = hospitals.task.plan
    for name, volume in (*_series(data), *_files(data)):
        try:
            yield name, "right" if name.startswith(_RIGHT) else "wrong", prepare_image(volume, plan)
        except FedVoxelError:
            continue


def _series(data: Path) -> Iterator[tuple[str, Volume]]:
    folder = data / "dicom_studies"
    for files in find_series(folder).series:
        try:
            name = str(files.paths[0].parent.relative_to(folder))
            yield name, volume_of_study(read_study_series(files)).volume
        except FedVoxelError:
            continue


def _files(data: Path) -> Iterator[tuple[str, Volume]]:
    paths = [path for pattern in _WRONG_FILES for path in sorted(data.glob(pattern))]
    seen: set[str] = set()
    for path in sorted(data.glob(_ONE_EACH)):
        patient = path.name.split("_")[0]
        if patient not in seen:
            seen.add(patient)
            paths.append(path)
    for path in paths:
        try:
            yield f"{path.parent.name}/{path.name}", Volume(*read_nifti(path, "image", "missing_image"))
        except FedVoxelError:
            continue


def _boxes(image: Voxels, random: np.random.Generator) -> Iterator[Voxels]:
    """Yields random boxes, each scaled anew as if it had been a study of its own; empty ones are drawn again."""
    made = 0
    for _ in range(10 * CROPS):
        sizes = [min(have, want) for have, want in zip(image.shape[1:], _BOX, strict=True)]
        starts = [int(random.integers(0, have - size + 1)) for have, size in zip(image.shape[1:], sizes, strict=True)]
        box = image[(slice(None), *(slice(start, start + size) for start, size in zip(starts, sizes, strict=True)))]
        if box.std() > _LEAST_SPREAD and made < CROPS:
            made += 1
            yield np.ascontiguousarray((box - box.mean()) / box.std())
