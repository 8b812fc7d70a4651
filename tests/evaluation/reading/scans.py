"""Small scans whose axes point where the test wants, and whose voxels tell where they are."""

import numpy as np

from fedvoxel.volumes.volume import Affine, Volume

SHAPE = (9, 7, 5)


def affine_of(
    codes: str, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0), turn_degrees: float = 0.0
) -> Affine:
    """Returns an affine whose voxel axes point to the sides `codes`, turned around the body's long axis."""
    places = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}
    affine = np.eye(4)
    affine[:3, :3] = 0.0
    for column, code in enumerate(codes):
        row, sign = places[code]
        affine[row, column] = sign * spacing_mm[column]
    angle = np.radians(turn_degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (3.0, -20.0, 11.0)
    return affine


def scan(codes: str = "RAS", **geometry: object) -> Volume:
    """Returns a scan of random voxels, all different."""
    voxels = np.random.default_rng(3).permutation(np.prod(SHAPE)).reshape(SHAPE).astype(np.float32)
    return Volume(voxels, affine_of(codes, **geometry))  # type: ignore[arg-type]
