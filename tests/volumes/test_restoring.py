"""What was found on the prepared grid comes back to the very voxels of the original."""

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from fedvoxel.volumes.plan import IntensityPlan, PreparedImage, PreprocessingPlan, prepare, prepare_image
from fedvoxel.volumes.resampling import resample_image
from fedvoxel.volumes.restoring import label_on_original
from fedvoxel.volumes.volume import LabelledVolume, Volume

SHAPE = (9, 14, 11)
SPACING_MM = (0.7, 1.2, 3.0)
ORIENTATIONS = sorted("".join(letters) for pairs in permutations(("LR", "AP", "IS")) for letters in product(*pairs))
DIRECTIONS = {
    "axial": np.eye(3),
    "left-handed": np.diag([-1.0, 1.0, 1.0]),
    "sagittal": np.eye(3)[:, [2, 0, 1]],
    "coronal": np.eye(3)[:, [0, 2, 1]],
    "exactly between": Rotation.from_euler("x", 45, degrees=True).as_matrix(),
    "twice between": np.array([[0.5, 0.5, 0.5**0.5], [-(0.5**0.5), 0.5**0.5, 0], [-0.5, -0.5, 0.5**0.5]]).T,
    "oblique": Rotation.from_euler("xyz", (25, -14, 40), degrees=True).as_matrix(),
}


def affine_of(direction: str, spacing_mm: tuple[float, ...] = SPACING_MM) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = DIRECTIONS[direction] * spacing_mm
    affine[:3, 3] = (-31.5, 17.25, 140.125)
    return affine


def noise(shape: tuple[int, ...] = SHAPE) -> NDArray[np.float32]:
    return np.random.default_rng(3).choice([0.0, 1.0, 2.0], shape, p=[0.7, 0.2, 0.1]).astype(np.float32)


def one_hot(codes: NDArray[Any]) -> NDArray[np.float32]:
    return np.stack([codes == code for code in range(3)]).astype(np.float32)


def codes_of(prepared: PreparedImage) -> NDArray[np.float32]:
    """The class of each voxel of an image that was scaled to 0, 1/2 and 1."""
    return np.rint(2 * prepared.image[0])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_where_the_voxel_size_stays_every_voxel_comes_back(direction: str, orientation: str) -> None:
    original = noise()
    plan = PreprocessingPlan(orientation=orientation, intensity=IntensityPlan(method="range"))
    prepared = prepare_image(Volume(original, affine_of(direction)), plan)
    back = label_on_original(one_hot(codes_of(prepared)), prepared)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, original)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_twice_as_fine_and_back_loses_no_voxel(direction: str) -> None:
    original = noise()
    affine = affine_of(direction, (2.0, 2.0, 2.0))
    plan = PreprocessingPlan(spacing_mm=(1.0, 1.0, 1.0), intensity=IntensityPlan(method="range"))
    prepared = prepare_image(Volume(original, affine), plan)
    assert prepared.grid is not None
    # What a perfect network would say: the class of the voxel in which each fine voxel lies.
    fine = original_at(prepared, original)
    np.testing.assert_array_equal(label_on_original(one_hot(fine), prepared), original)


def original_at(prepared: PreparedImage, original: NDArray[np.float32]) -> NDArray[np.float32]:
    """The original's value at each prepared voxel, through the world and the nearest voxel."""
    index = np.indices(prepared.image.shape[1:]).reshape(3, -1)
    world = prepared.affine[:3, :3] @ index + prepared.affine[:3, 3:]
    inverse = np.linalg.inv(prepared.original_affine)
    source = np.rint(inverse[:3, :3] @ world + inverse[:3, 3:]).astype(int)
    limits = np.array(original.shape)[:, None] - 1
    return original[tuple(np.clip(source, 0, limits))].reshape(prepared.image.shape[1:])


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (1.5, 0.9, 2.0)])
def test_a_ball_is_where_it_was_after_resampling(direction: str, spacing_mm: tuple[float, float, float]) -> None:
    index = np.indices((40, 36, 14))
    affine = affine_of(direction)
    at_mm = (index - np.reshape((16, 20, 6), (3, 1, 1, 1))) * np.reshape(SPACING_MM, (3, 1, 1, 1))
    ball = (np.linalg.norm(at_mm, axis=0) < 7.0).astype(np.float32)
    prepared = prepare_image(Volume(ball, affine), PreprocessingPlan(spacing_mm=spacing_mm))
    assert prepared.grid is not None
    inside = np.clip(resample_image(ball_on_plan(ball, prepared), prepared.grid), 0, 1)
    back = label_on_original(np.stack([1 - inside, inside]), prepared)
    dice = 2 * np.sum((back == 1) & (ball == 1)) / (np.sum(back) + np.sum(ball))
    assert dice > 0.93
    centres = [np.mean(np.nonzero(mask), axis=1) for mask in (back, ball)]
    assert np.abs(centres[0] - centres[1]).max() < 0.1


def ball_on_plan(ball: NDArray[np.float32], prepared: PreparedImage) -> NDArray[np.float32]:
    """The ball on the plan's axes, before it is resampled."""
    turned = prepare_image(
        Volume(ball, prepared.original_affine), PreprocessingPlan(intensity=IntensityPlan(method="range"))
    )
    assert turned.image.shape[1:] == prepared.turned_shape
    return turned.image[0]


def test_of_equally_probable_classes_the_first_wins() -> None:
    prepared = prepare_image(Volume(noise(), affine_of("axial")), PreprocessingPlan())
    even = np.full((3, *prepared.image.shape[1:]), 1 / 3, np.float32)
    assert not label_on_original(even, prepared).any()


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("spacing_mm", [None, (1.0, 1.0, 1.5)])
@pytest.mark.parametrize("method", ["zscore", "range"])
def test_an_image_is_prepared_as_it_is_for_training(direction: str, spacing_mm: Any, method: Any) -> None:
    volume = Volume(noise() + np.float32(0.1) * noise()[::-1], affine_of(direction))
    plan = PreprocessingPlan(orientation="LPS", spacing_mm=spacing_mm, intensity=IntensityPlan(method=method))
    case = prepare(LabelledVolume("case", volume, np.zeros(SHAPE, np.uint8)), plan)
    alone = prepare_image(volume, plan)
    assert alone.image.tobytes() == case.image.tobytes()
    np.testing.assert_array_equal(alone.affine, case.affine)
