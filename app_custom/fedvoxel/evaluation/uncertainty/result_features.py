"""What one structure's result says of itself, in a few numbers that go along with how good it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.uncertainty.probability import BAND_LEAST, Voxels
from fedvoxel.federation.calibration.plan import Spread
from fedvoxel.federation.calibration.quality import QUALITY_SIGNS

RESULT_FEATURES = tuple(QUALITY_SIGNS)
"""In order; each is explained where it is computed."""

_MOST_OFF = 6.0
_USUAL = 1.0
"""Deviations within which a volume, and distances within which an image, says nothing of how good a result is."""
_MM3_PER_ML = 1000.0
_LEAST_ML = 1e-3


@dataclass(frozen=True, eq=False)
class Found:
    """Is all that is known of a result, on the prepared grid.

    Attributes:
        probabilities: (classes, X, Y, Z), tempered.
        label: (X, Y, Z) most probable class.
        entropy: Of the mean over all views, 0 to 1.
        disagreement: The part of it that views disagree on (mutual information), 0 to 1.
        agreements: Dice of each view's label with `label`, by structure; None where both found nothing.
        spacing_mm: Voxel size.
        distance: From the training cases.
        off: Root mean square of the scaled features of each group ("texture", "found", ...).
    """

    probabilities: Voxels
    label: NDArray[np.uint8]
    entropy: Voxels
    disagreement: Voxels
    agreements: Sequence[Sequence[float | None]]
    spacing_mm: tuple[float, float, float]
    distance: float
    off: dict[str, float]

    @property
    def voxel_ml(self) -> float:
        """Returns the volume of a voxel."""
        return float(np.prod(self.spacing_mm)) / _MM3_PER_ML


def result_features(found: Found, code: int, seen: Spread | None) -> NDArray[np.float64]:
    """Returns the features of the structure with a code, float64 in the order of `RESULT_FEATURES`.

    Args:
        found: The result.
        code: 1 or more.
        seen: The logarithm of the structure's volume over the training cases.
    """
    mask, chance = found.label == code, found.probabilities[code]
    agreements = [0.0 if value is None else value for value in found.agreements[code - 1]]
    likeness = [_beyond(value) for value in (found.distance, found.off["texture"], found.off["found"])]
    if not mask.any():
        # Nothing was found: what is said of a mask stands at its worst, or at 0.
        agreed = float(np.mean([value is None for value in found.agreements[code - 1]])) if agreements else 1.0
        return np.array([1.0, 0.0, 0.0, 0.0, agreed, agreed, 0.0, 0.0, 0.0, _MOST_OFF, 0.0, 0.0, *likeness])
    band = mask | (chance >= BAND_LEAST)
    off = _volume_off(float(np.count_nonzero(mask)) * found.voxel_ml, seen)
    numbers = [
        0.0,
        expected_dice(mask, chance),
        float(found.entropy[band].mean()),
        float(found.disagreement[band].mean()),
        float(np.mean(agreements)),
        min(agreements),
        _border_sureness(mask, found.probabilities),
        *_parts(mask),
        max(-off - _USUAL, 0.0),
        max(off - _USUAL, 0.0),
        _at_the_edge(mask),
        *likeness,
    ]
    return np.array(numbers, dtype=np.float64)


def expected_dice(mask: NDArray[np.bool_], chance: Voxels) -> float:
    """Returns the Dice that a mask has if each voxel's chance is right: twice the sum inside, over both sizes.

    Chances below `BAND_LEAST` are left out: there are so many of them that a small error in each would count most.
    """
    inside = float(chance[mask].sum())
    total = float(chance[chance >= BAND_LEAST].sum())
    return 2 * inside / max(np.count_nonzero(mask) + total, 1e-9)


def _beyond(distance: float) -> float:
    """Returns the logarithm of how far a distance is beyond the usual."""
    return float(np.log1p(max(distance - _USUAL, 0.0)))


def _volume_off(volume_ml: float, seen: Spread | None) -> float:
    """Returns how many standard deviations the logarithm of the volume is from its mean in training, bounded."""
    if seen is None:
        return 0.0
    return float(np.clip((np.log(volume_ml + _LEAST_ML) - seen.mean) / seen.deviation, -_MOST_OFF, _MOST_OFF))


def _border_sureness(mask: NDArray[np.bool_], probabilities: Voxels) -> float:
    """Returns the mean of the largest probability over the structure's outermost voxels."""
    from scipy import ndimage

    border = mask & ~ndimage.binary_erosion(mask, border_value=1)
    return float(probabilities[:, border].max(axis=0).mean()) if border.any() else 1.0


def _parts(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Returns the largest connected part's share, and the logarithm of the number of parts."""
    from scipy import ndimage

    labelled, count = ndimage.label(mask)
    sizes = np.bincount(labelled.ravel())[1:]
    return float(sizes.max() / sizes.sum()), float(np.log(count))


def _at_the_edge(mask: NDArray[np.bool_]) -> float:
    """Returns the share of the structure's voxels that lie on the image's outermost planes: it may be cut off."""
    inner = mask[1:-1, 1:-1, 1:-1]
    return 1.0 - float(np.count_nonzero(inner)) / float(np.count_nonzero(mask))
