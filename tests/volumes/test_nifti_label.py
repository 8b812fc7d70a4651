from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from fedvoxel.errors import GeometryError
from fedvoxel.volumes.nifti_label import nifti_label
from fedvoxel.volumes.refusal import REMEDIES
from fedvoxel.volumes.volume import Volume
from tests.volumes.scans import image_voxels, write_nifti

SHAPE = (7, 9, 5)
CODES = {3: 1, 7: 2}
AFFINE = np.array([(0.9, 0.1, 0, -20.0), (-0.1, 0.8, 0.2, 30), (0, -0.2, 2.5, 5), (0, 0, 0, 1)])


def label_voxels() -> NDArray[np.uint8]:
    label = np.zeros(SHAPE, dtype=np.uint8)
    label[1:4, 2:8, 1:4] = 3
    label[4:6, 5:9, 0:2] = 7
    return label


@pytest.fixture
def image() -> Volume:
    return Volume(image_voxels(SHAPE), AFFINE)


def reason(path: Path, image: Volume) -> str:
    with pytest.raises(GeometryError) as caught:
        nifti_label(path, image, CODES)
    assert str(caught.value).endswith(REMEDIES[caught.value.reason])
    assert path.name not in str(caught.value)
    return caught.value.reason


def stored(folder: Path, order: tuple[int, ...], flips: tuple[int, ...], label: Any = None) -> Path:
    """Writes a label with its axes in another order and direction, the same place in the world."""
    ornt = np.array([(axis, flip) for axis, flip in zip(order, flips, strict=True)], dtype=float)
    whole = nibabel.Nifti1Image(label_voxels() if label is None else label, AFFINE)
    path = folder / "patient-label.nii.gz"
    whole.as_reoriented(ornt).to_filename(path)
    return path


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("flips", list(product((1, -1), repeat=3)))
def test_every_order_and_direction_of_axes_is_undone(
    tmp_path: Path, image: Volume, order: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    label = nifti_label(stored(tmp_path, order, flips), image, CODES)
    assert label.dtype == np.uint8
    assert np.array_equal(label, np.select([label_voxels() == 3, label_voxels() == 7], [1, 2]))


def changed(**changes: Any) -> NDArray[np.float64]:
    affine = AFFINE.copy()
    if "shift" in changes:
        affine[:3, 3] += changes["shift"]
    if "scale" in changes:
        affine[:3, :3] *= changes["scale"]
    if "turn" in changes:
        cos, sin = np.cos(changes["turn"]), np.sin(changes["turn"])
        affine[:3] = np.array([(cos, -sin, 0), (sin, cos, 0), (0, 0, 1)]) @ affine[:3]
    return affine


@pytest.mark.parametrize(
    ("affine", "expected"),
    [
        (changed(shift=(0.4, 0, 0)), "affine_mismatch"),
        (changed(shift=AFFINE[:3, 0]), "affine_mismatch"),
        (changed(shift=-AFFINE[:3, 2]), "affine_mismatch"),
        (changed(scale=2.0), "affine_mismatch"),
        (changed(scale=1.1), "affine_mismatch"),
        (changed(turn=0.1), "affine_mismatch"),
    ],
)
def test_what_would_need_resampling_is_refused(
    tmp_path: Path, image: Volume, affine: NDArray[np.float64], expected: str
) -> None:
    assert reason(write_nifti(tmp_path / "patient.nii.gz", label_voxels(), affine), image) == expected


def test_rounding_of_a_header_is_not_a_shift(tmp_path: Path, image: Volume) -> None:
    affine = changed(shift=(0.01, 0.01, 0.02))
    assert nifti_label(write_nifti(tmp_path / "a.nii.gz", label_voxels(), affine), image, CODES).any()


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (label_voxels()[:-1], "shape_mismatch"),
        (label_voxels() // 7, "unexpected_class"),
        (label_voxels() * 0, "empty_label"),
        (label_voxels() * np.float32(0.5), "fractional_label"),
    ],
)
def test_what_is_no_label_of_the_image_is_refused(
    tmp_path: Path, image: Volume, label: NDArray[Any], expected: str
) -> None:
    assert reason(write_nifti(tmp_path / "patient.nii.gz", label, AFFINE), image) == expected


def test_a_missing_file_is_named_as_such(tmp_path: Path, image: Volume) -> None:
    assert reason(tmp_path / "patient.nii.gz", image) == "missing_label"


def test_a_flip_hides_no_shift(tmp_path: Path, image: Volume) -> None:
    path = stored(tmp_path, (1, 0, 2), (1, -1, 1))
    turned = nibabel.load(path)
    moved = turned.affine.copy()
    moved[:3, 3] += AFFINE[:3, 1]
    nibabel.Nifti1Image(np.asarray(turned.dataobj), moved).to_filename(tmp_path / "moved.nii.gz")
    assert reason(tmp_path / "moved.nii.gz", image) == "affine_mismatch"
