import warnings

import numpy as np
import pytest
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_surface_dice

from fedvoxel.evaluation.judgement.structure_score import score_structure
from fedvoxel.evaluation.judgement.surface import diagonal_mm, surface_distances

SPACINGS = ((1.0, 1.0, 1.0), (0.7, 0.7, 2.5), (3.0, 1.25, 0.5))


def blob(seed: int, shape: tuple[int, int, int] = (18, 23, 14)) -> np.ndarray:
    """A ragged blob that may touch the edge of the image, and stray voxels."""
    random = np.random.default_rng(seed)
    middle, size = random.uniform(0.2, 0.8, 3) * shape, random.uniform(2.5, 7.0)
    grid = np.indices(shape)
    far = np.sqrt(sum((grid[axis] - middle[axis]) ** 2 for axis in range(3)))
    return (far + random.normal(0, 0.8, shape) < size) | (random.uniform(size=shape) > 0.9995)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("seed", range(5))
def test_dice_nsd_and_hd95_are_those_of_monai(seed: int, spacing: tuple[float, float, float]) -> None:
    predicted, truth = blob(seed), blob(seed + 100)
    tolerance = 1.5
    found = score_structure(predicted, truth, spacing, tolerance)
    first, second = (torch.from_numpy(mask)[None, None] for mask in (predicted, truth))
    with warnings.catch_warnings():
        # MONAI 1.6 calls a function of its own with an argument that it deprecates itself.
        warnings.simplefilter("ignore", FutureWarning)
        hd95 = compute_hausdorff_distance(first, second, include_background=True, percentile=95, spacing=list(spacing))
        nsd = compute_surface_dice(first, second, [tolerance], include_background=True, spacing=list(spacing))
    dice = compute_dice(first, second, include_background=True)
    assert found.hd95_mm == pytest.approx(float(hd95), rel=1e-6)
    assert found.nsd == pytest.approx(float(nsd), rel=1e-6)
    assert found.dice == pytest.approx(float(dice), rel=1e-6)


def test_one_voxel_apart_is_the_spacing_along_that_axis() -> None:
    first, second = np.zeros((9, 9, 9), bool), np.zeros((9, 9, 9), bool)
    first[4, 4, 4], second[4, 4, 5] = True, True
    found = surface_distances(first, second, (1.0, 1.0, 2.5))
    assert found.hd95_mm == 2.5
    assert (found.within(2.4), found.within(2.5)) == (0.0, 1.0)


def test_no_distance_is_longer_than_the_diagonal() -> None:
    first, second = np.zeros((5, 6, 7), bool), np.zeros((5, 6, 7), bool)
    first[0, 0, 0], second[4, 5, 6] = True, True
    assert surface_distances(first, second, (1.0, 2.0, 3.0)).hd95_mm < diagonal_mm((5, 6, 7), (1.0, 2.0, 3.0))
