"""Knows of a label map how much it marks and where most of it is, so that a page need not look at all voxels again."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.reading.planes import Plane
from fedvoxel.volumes.volume import Affine

CODES = 256
_CUBIC_MM_PER_ML = 1000.0


@dataclass(frozen=True, eq=False)
class LabelFacts:
    """Describes a label map.

    Attributes:
        counts: Voxels of each code, (256,).
        largest: For each plane, the slice that shows most; the middle one where nothing is marked.
    """

    counts: NDArray[np.int64]
    largest: Mapping[str, int]


def label_facts(shown: NDArray[np.uint8], planes: Mapping[str, Plane]) -> LabelFacts:
    """Looks at a label map once, as it is displayed."""
    counts = np.zeros(CODES, dtype=np.int64)
    marked = [np.zeros(size, dtype=np.int64) for size in shown.shape]
    slow, *others = memory_axes(shown)
    for place, cut in enumerate(np.moveaxis(shown, (slow, *others), (0, 1, 2))):
        if cut.any():  # counting is slow, and most slices of most label maps are empty
            counts += np.bincount(cut.ravel(order="K"), minlength=CODES)
            inside = cut > 0
            marked[slow][place] = np.count_nonzero(inside)
            for axis, along in zip(others, (1, 0), strict=True):
                marked[axis] += inside.sum(axis=along)
    counts[0] = shown.size - counts[1:].sum()
    largest = {name: _most(marked[plane.axis]) for name, plane in planes.items()}
    return LabelFacts(counts, largest)


def memory_axes(array: NDArray[Any]) -> tuple[int, ...]:
    """Returns the axes from that whose cuts lie together in memory to that whose neighbours do."""
    return tuple(int(axis) for axis in np.argsort(-np.abs(array.strides), kind="stable"))


def _most(marked: NDArray[np.int64]) -> int:
    return int(marked.argmax()) if marked.any() else marked.size // 2


def volumes_ml(counts: NDArray[np.int64], affine: Affine, structures: tuple[str, ...]) -> dict[str, float]:
    """Returns the volume of each structure in millilitres; code 1 + i is structure i."""
    voxel_ml = voxel_volume_ml(affine)
    return {name: round(float(counts[code]) * voxel_ml, 4) for code, name in enumerate(structures, start=1)}


def voxel_volume_ml(affine: Affine) -> float:
    """Returns the volume of one voxel in millilitres."""
    return abs(float(np.linalg.det(affine[:3, :3]))) / _CUBIC_MM_PER_ML
