"""Reads one file's stored pixel values, uncompressed or compressed, into memory that was sized and checked before."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset


def stored_pixels(path: Path, header: Dataset) -> NDArray[np.generic]:
    """Returns one file's stored values (frames, rows, columns), whole numbers of BitsStored bits, no rescale applied.

    Args:
        path: The file.
        header: What was read of it before: its dimensions must still hold.

    Raises:
        DicomError: The pixels are missing, shorter or longer than promised, compressed from other dimensions, in
            colour, or in an encoding without decoder.
    """
    raise NotImplementedError
