"""Chooses which intensities are black and white: Hounsfield units have known windows, other scans have their own.

Source of the CT windows: Hofer 2010, CT Teaching Manual, chapter "Windowing".
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.cohorts.number_words import number_words

_LUNG_BELOW_HU = -300.0
_BONE_ABOVE_HU = 250.0
_AIR_HU = -500.0
_SHOWN_PERCENTILES = (0.5, 99.5)

WindowKind = Literal["soft tissue", "lung", "bone", "percentiles"]
_CT_WINDOWS: dict[WindowKind, tuple[float, float]] = {
    "soft tissue": (-160.0, 240.0),
    "lung": (-1350.0, 150.0),
    "bone": (-450.0, 1050.0),
}


class Window(FrozenModel):
    """Says which intensities are shown black (`low`) and white (`high`), and why these."""

    low: float
    high: float
    kind: WindowKind

    @property
    def words(self) -> str:
        """Returns the window in words for a caption."""
        if self.kind == "percentiles":
            low, high = number_words(self.low), number_words(self.high)
            return f"window {low} to {high} (0.5 to 99.5 % of what is shown)"
        return f"window {self.low:.0f} to {self.high:.0f} HU ({self.kind})"


def window_of(
    voxels: NDArray[np.float32], inside: NDArray[np.bool_], shown: NDArray[np.float32], modality: str | None
) -> Window:
    """Returns the window for one scan.

    Args:
        voxels: The whole scan.
        inside: Which of its voxels are marked; what they are made of chooses among the windows of CT.
        shown: The part that is shown.
        modality: "CT", "MR", another, or None where it is not known: then air far below zero, and whole numbers,
            mean CT.
    """
    if modality == "CT" or (modality is None and _looks_like_ct(voxels)):
        middle = float(np.median(voxels[inside])) if inside.any() else 0.0
        kind: WindowKind = "lung" if middle < _LUNG_BELOW_HU else "bone" if middle > _BONE_ABOVE_HU else "soft tissue"
        return Window(low=_CT_WINDOWS[kind][0], high=_CT_WINDOWS[kind][1], kind=kind)
    low, high = (float(value) for value in np.percentile(shown, _SHOWN_PERCENTILES))
    if not low < high:
        low, high = float(shown.min()), float(shown.max())
    return Window(low=low, high=high if high > low else low + 1.0, kind="percentiles")


def _looks_like_ct(voxels: NDArray[np.float32]) -> bool:
    thinned = voxels[::4, ::4, ::2]
    return bool(np.percentile(thinned, 2.0) < _AIR_HU and np.array_equal(thinned, np.rint(thinned)))
