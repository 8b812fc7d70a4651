"""Brings scans to one small grid and says how like two of them are, and whose a reconstruction is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedvoxel.evaluation.attacks.findings import Likeness
from fedvoxel.volumes.plan import PreparedCase

Size = tuple[int, int, int]
Volume = NDArray[np.float32]


def part_of(scan: PreparedCase, size: Size) -> tuple[Volume, Volume]:
    """Returns the part of a scan around its structures: image and label codes, both float32 of shape `size`.

    Zeros stand beyond the scan's edge; a scan without structures is cut about its centre.
    """
    marked = np.argwhere(scan.label > 0)
    centre = marked.mean(axis=0) if len(marked) else np.array(scan.label.shape) / 2
    first = np.rint(centre - np.array(size) / 2).astype(int)
    return _cut(scan.image[0], first, size), _cut(scan.label.astype(np.float32), first, size)


def correlation(first: Volume, second: Volume) -> float:
    """Returns the normalised cross-correlation of two volumes, -1 to 1; 0 where one of them is constant."""
    one, two = (volume.astype(np.float64).ravel() - volume.mean(dtype=np.float64) for volume in (first, second))
    lengths = float(np.linalg.norm(one) * np.linalg.norm(two))
    return float(one @ two) / lengths if lengths > 0 else 0.0


def likeness(found: Volume, patients: Sequence[Volume], which: int) -> Likeness:
    """Says how like a reconstruction is to the scan of patient `which`, and to those of the others.

    Args:
        found: The reconstruction.
        patients: A scan of each of the hospital's patients, at least two, of the same shape.
        which: Whose scan was attacked.
    """
    values = [correlation(found, scan) for scan in patients]
    others = [value for index, value in enumerate(values) if index != which]
    own = values[which]
    # A tie does not recognise anybody.
    return Likeness(ncc=own, margin=own - max(others), rank=1 + sum(value >= own for value in others))


def _cut(volume: Volume, first: NDArray[np.int_], size: Size) -> Volume:
    part = np.zeros(size, dtype=np.float32)
    low, high = np.maximum(first, 0), np.minimum(first + np.array(size), volume.shape)
    if (low < high).all():
        inside = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        place = tuple(slice(a, b) for a, b in zip(low - first, high - first, strict=True))
        part[place] = volume[inside]
    return part
