"""Measures what a reader's correction changed: volumes, and the Dice of the label before and after."""

import numpy as np
from numpy.typing import NDArray

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.reading.label_facts import CODES, memory_axes, volumes_ml
from fedvoxel.volumes.volume import Affine


class StructureEdit(FrozenModel):
    """Describes one structure before and after.

    Attributes:
        structure: Its name.
        before_ml: Its volume before the correction.
        after_ml: Its volume after.
        changed_voxels: Voxels that are the structure's in one of the two only.
        dice: Dice of before and after in [0, 1]; 1 where nothing was changed; None where it is in neither.
    """

    structure: str
    before_ml: float
    after_ml: float
    changed_voxels: int
    dice: float | None


def edits_of(
    before: NDArray[np.uint8], after: NDArray[np.uint8], affine: Affine, structures: tuple[str, ...]
) -> tuple[StructureEdit, ...]:
    """Compares two label maps (X, Y, Z) on one grid; code 1 + i is structure i.

    Source: Dice 1945, Measures of the amount of ecologic association between species: 2 |A and B| / (|A| + |B|).
    """
    counts = np.zeros((2, CODES), dtype=np.int64)
    same = np.zeros(CODES, dtype=np.int64)
    slow = memory_axes(before)[0]
    # Cut by cut: numpy makes eight bytes of each voxel that it counts.
    for one, other in zip(np.moveaxis(before, slow, 0), np.moveaxis(after, slow, 0), strict=True):
        counts[0] += np.bincount(one.ravel(order="K"), minlength=CODES)
        counts[1] += np.bincount(other.ravel(order="K"), minlength=CODES)
        same += np.bincount(one[one == other], minlength=CODES)
    volumes = [volumes_ml(found, affine, structures) for found in counts]
    return tuple(
        StructureEdit(
            structure=name,
            before_ml=volumes[0][name],
            after_ml=volumes[1][name],
            changed_voxels=int(counts[0][code] + counts[1][code] - 2 * same[code]),
            dice=_dice(int(counts[0][code]), int(counts[1][code]), int(same[code])),
        )
        for code, name in enumerate(structures, start=1)
    )


def _dice(before: int, after: int, same: int) -> float | None:
    return 2.0 * same / (before + after) if before + after else None
