"""Turns stored values into what the device measured: the linear rescale of each slice.

MR images without a rescale keep their stored values, as the standard has it; CT and PT must say theirs. Real-world
value maps are not used, and no SUV is computed: the unit stays what the header calls it. Padding keeps its value.
A table in place of the rescale was refused when the header was read.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.volumes.frame_header import FrameHeader
from fedvoxel.volumes.refusal import geometry_error

_EXACT_IN_FLOAT32 = 2**24
_NEEDS_RESCALE = frozenset({"CT", "PT"})


@dataclass(frozen=True)
class Rescale:
    """Is the Modality LUT of one frame: value = slope * stored + intercept."""

    slope: float
    intercept: float

    def apply(self, stored: NDArray[np.generic], out: NDArray[np.float32]) -> None:
        """Writes the rescaled `stored` (rows, columns) into `out`, rounded once to float32."""
        numbers: NDArray[np.int64] = stored  # type: ignore[assignment]
        if (self.slope, self.intercept) == (1.0, 0.0):
            out[...] = numbers
        elif self._is_exact(numbers):
            if self.slope == 1:
                np.add(numbers, np.float32(self.intercept), out=out, dtype=np.float32, casting="unsafe")
                return
            np.multiply(numbers, np.float32(self.slope), out=out, dtype=np.float32, casting="unsafe")
            out += np.float32(self.intercept)
        else:
            with np.errstate(over="ignore"):  # what leaves float32's range is refused as non-finite
                out[...] = numbers * np.float64(self.slope) + self.intercept

    def _is_exact(self, stored: NDArray[np.int64]) -> bool:
        """Says whether float32 holds every step without rounding: whole numbers, small enough."""
        largest = 2.0 ** (8 * stored.dtype.itemsize) * abs(self.slope) + abs(self.intercept)
        return self.slope.is_integer() and self.intercept.is_integer() and largest <= _EXACT_IN_FLOAT32


def rescales_of(sources: Sequence[FrameHeader], modality: str) -> list[Rescale]:
    """Returns the rescale of each frame of one volume: all have one or, in MR, none has.

    Raises:
        GeometryError: no_rescale or zero_slope.

    Source: PS3.3 C.11.1 (Modality LUT) and C.7.6.16.2.9 (Pixel Value Transformation).
    """
    if modality not in _NEEDS_RESCALE and all(_is_absent(source) for source in sources):
        return [Rescale(1.0, 0.0)] * len(sources)
    return [_rescale_of(source) for source in sources]


def _is_absent(source: FrameHeader) -> bool:
    return source.value("RescaleSlope") is None and source.value("RescaleIntercept") is None


def _rescale_of(source: FrameHeader) -> Rescale:
    slope, intercept = source.numbers("RescaleSlope", 1), source.numbers("RescaleIntercept", 1)
    if slope is None or intercept is None:
        raise geometry_error("no_rescale", "RescaleSlope or RescaleIntercept is missing or not a number")
    if slope[0] == 0:
        raise geometry_error("zero_slope", "RescaleSlope is zero, which makes all values the same")
    return Rescale(slope[0], intercept[0])
