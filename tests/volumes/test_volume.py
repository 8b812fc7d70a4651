import dataclasses

import numpy as np
import pytest

from fedvoxel.errors import GeometryError
from fedvoxel.volumes.refusal import REASONS, REMEDIES, geometry_error, refusal_of
from fedvoxel.volumes.volume import LabelledVolume, Volume, check_shape
from tests.volumes.scans import SHAPE, image_voxels, label_voxels


def test_volume_keeps_voxels_and_geometry_and_cannot_be_changed() -> None:
    affine = np.diag([-0.5, 0.5, 3.0, 1.0])
    volume = Volume(image_voxels().astype(np.float64), affine)
    assert (volume.shape, volume.spacing_mm) == (SHAPE, (0.5, 0.5, 3.0))
    assert volume.voxels.dtype == np.float32
    affine[0, 0] = 9.0
    assert volume.affine[0, 0] == -0.5
    for array in (volume.voxels, volume.affine):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        volume.affine = np.eye(4)  # type: ignore[misc]


def test_the_array_that_was_given_stays_writable() -> None:
    voxels = image_voxels()
    Volume(voxels, np.eye(4))
    voxels[0, 0, 0] = 1.0


@pytest.mark.parametrize(
    ("voxels", "affine", "reason"),
    [
        (image_voxels((9, 11)), np.eye(4), "not_3d"),
        (image_voxels((9, 11, 1)), np.eye(4), "not_3d"),
        (np.zeros(SHAPE), np.eye(4), "constant_image"),
        (image_voxels() * np.float32(np.inf), np.eye(4), "non_finite"),
        (image_voxels(), np.zeros((4, 4)), "singular_affine"),
        (image_voxels(), np.eye(3), "singular_affine"),
        (image_voxels(), np.diag([1.0, 1.0, 1.0, 2.0]), "singular_affine"),
        (image_voxels(), np.diag([1e-6, 1e-6, 1e-6, 1.0]), "implausible_spacing"),
        (image_voxels(), np.diag([25.0, 1.0, 1.0, 1.0]), "implausible_spacing"),
    ],
)
def test_an_invalid_volume_cannot_be_made(voxels: np.ndarray, affine: np.ndarray, reason: str) -> None:
    with pytest.raises(GeometryError) as caught:
        Volume(voxels, affine)
    assert caught.value.reason == reason


def test_size_is_bounded() -> None:
    with pytest.raises(GeometryError, match="at most") as caught:
        check_shape((1000, 1000, 1000))
    assert caught.value.reason == "too_large"


def test_label_must_have_the_images_shape() -> None:
    image = Volume(image_voxels(), np.eye(4))
    assert LabelledVolume("case-1", image, label_voxels()).case == "case-1"
    with pytest.raises(GeometryError) as caught:
        LabelledVolume("case-1", image, label_voxels()[:-1])
    assert caught.value.reason == "shape_mismatch"


def test_every_reason_says_what_to_do() -> None:
    assert set(REMEDIES) == set(REASONS)
    for reason in REASONS:
        error = geometry_error(reason, "found something")
        assert (error.reason, str(error)) == (reason, f"found something; {REMEDIES[reason]}")
        assert refusal_of("case-1", GeometryError(reason, f"case-1: {error}")).message == str(error)
