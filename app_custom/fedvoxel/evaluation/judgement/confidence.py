"""Whether a model is right as often as it says: how probabilities and truth go together, voxel by voxel.

Almost all of a scan is background that any model is sure of, and with it every model looks well calibrated. So only a
band counts: voxels with a probability of the structure above 0.05, and all that the truth marks, so that what was
missed altogether counts too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.judgement.surface import Mask
from fedvoxel.volumes.plan import PreparedImage
from fedvoxel.volumes.resampling import reorient, resample_label

BAND = 0.05
BINS = 20
IMPLEMENTATION = "fedvoxel reliability bins: 20 of equal width; the band is p > 0.05 or marked in the truth"


@dataclass(frozen=True, eq=False)
class Reliability:
    """Holds sums over the voxels of a band, by bin of probability; those of two cases can be added.

    Attributes:
        voxels: float64 (BINS,), how many.
        probability: float64 (BINS,), the sum of what the model says.
        truth: float64 (BINS,), how many the truth marks.
        squares: The sum of squared differences between the two.
    """

    voxels: NDArray[np.float64]
    probability: NDArray[np.float64]
    truth: NDArray[np.float64]
    squares: float

    @classmethod
    def nothing(cls) -> "Reliability":
        """Returns sums over no voxels: those of an image of which the model says nothing."""
        return cls(np.zeros(BINS), np.zeros(BINS), np.zeros(BINS), 0.0)

    @property
    def table(self) -> NDArray[np.float64]:
        """Returns voxels, probability and truth as (3, BINS)."""
        return np.stack([self.voxels, self.probability, self.truth])


def reliability_of(probability: NDArray[np.float32], truth: Mask) -> Reliability:
    """Bins the voxels of one structure in one case.

    Args:
        probability: (X, Y, Z), in [0, 1].
        truth: (X, Y, Z).

    Source: Guo et al., "On calibration of modern neural networks", ICML 2017, section 2.
    """
    band = (probability > BAND) | truth
    said, true = probability[band].astype(np.float64), truth[band].astype(np.float64)
    places = np.minimum((said * BINS).astype(np.intp), BINS - 1)
    sums = [np.bincount(places, weights, BINS).astype(np.float64) for weights in (None, said, true)]
    return Reliability(sums[0], sums[1], sums[2], float(np.sum((said - true) ** 2)))


def truth_on_prepared(label: NDArray[np.uint8], prepared: PreparedImage, orientation: str) -> NDArray[np.uint8]:
    """Returns a label of the original image on the grid of the probabilities, as labels are brought there to train."""
    turned, _ = reorient(label, prepared.original_affine, orientation)
    return turned if prepared.grid is None else resample_label(turned, prepared.grid)
