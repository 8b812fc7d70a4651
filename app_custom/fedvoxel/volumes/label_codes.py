"""Exchanges a label's own codes for the job's, and refuses what is not a code."""

import numpy as np
from numpy.typing import NDArray

from fedvoxel.volumes.refusal import geometry_error

_BYTES = 256
_PART = 2**14


def recode(voxels: NDArray[np.generic], codes: dict[int, int]) -> NDArray[np.uint8]:
    """Returns the label with the job's codes.

    Args:
        voxels: The label, of any shape.
        codes: The job's code of each of the label's own; all other values but 0 are refused.

    Raises:
        GeometryError: non_finite, fractional_label or unexpected_class.
    """
    values = _values(voxels)
    if not np.isfinite(values).all():
        raise geometry_error("non_finite", "label: some voxels are NaN or infinite")
    if np.any(values != np.rint(values)):
        raise geometry_error("fractional_label", "label: some voxels are not whole numbers")
    unknown = [f"{value:g}" for value in values.astype(np.float64) if value != 0 and value not in codes]
    if unknown:
        came = ", ".join(unknown[:5]) + (", ..." if len(unknown) > 5 else "")
        expected = ", ".join(str(code) for code in [0, *sorted(codes)])
        raise geometry_error("unexpected_class", f"label: expected the codes {expected}, also found {came}")
    if voxels.dtype == np.uint8:
        table = np.zeros(_BYTES, dtype=np.uint8)
        for site_code, job_code in codes.items():
            if site_code < _BYTES:
                table[site_code] = job_code
        recoded: NDArray[np.uint8] = table[voxels] if _moves(table, values) else voxels.astype(np.uint8, order="K")
        return recoded
    recoded = np.zeros(voxels.shape, dtype=np.uint8)
    for site_code, job_code in codes.items():
        recoded[voxels == site_code] = job_code
    return recoded


def _moves(table: NDArray[np.uint8], values: NDArray[np.generic]) -> bool:
    """Says whether a value that occurs stands for another; else no voxel need be looked up, which is slow."""
    return bool((table[values.astype(np.intp)] != values).any())


def _values(voxels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Returns the values that occur, with 0 or without; of bytes, which most labels are, without sorting them."""
    if voxels.dtype != np.uint8:
        return np.unique(voxels)
    flat = voxels.ravel(order="K")
    parts = (flat[at : at + _PART] for at in range(0, flat.size, _PART))
    # To see that nothing is marked, as in most parts of most labels, takes a tenth of what counting takes.
    counts = sum((np.bincount(part, minlength=_BYTES) for part in parts if part.any()), np.zeros(_BYTES, dtype=np.intp))
    return np.flatnonzero(counts)
