"""Says of a segmentation that is as the standard has it where a known viewer shows it wrong nevertheless.

Frames of 1 bit for each pixel follow each other without a gap, the first pixel in the lowest bit (PS3.5 8.1.1 and 8.2),
and the whole has an even number of bytes. OHIF 3.13.2 takes several frames apart by itself (its dcmjs 0.52.0): where a
frame does not end with a byte it reads the highest bit first, and it does not expect the byte that makes the number
even. `tests/system/test_ohif.py` holds this against the viewer itself.
"""

from pydicom import Dataset

_BITS, _EVEN = 8, 2


def viewer_remarks(segmentation: Dataset) -> tuple[str, ...]:
    """Returns what a reader must know before looking at a segmentation in a viewer, one sentence each."""
    frames = int(segmentation.NumberOfFrames)
    if segmentation.BitsAllocated != 1 or frames == 1:
        return ()
    rows, columns = int(segmentation.Rows), int(segmentation.Columns)
    if rows * columns % _BITS:
        return (
            f"OHIF 3.13 misplaces this segmentation or does not open it: it has 1 bit for each pixel, and {rows} rows "
            f"x {columns} columns are no multiple of 8; --eight-bit avoids that.",
        )
    if rows * columns * frames // _BITS % _EVEN:
        return (
            "OHIF 3.13 does not open this segmentation: it has 1 bit for each pixel and an odd number of bytes; "
            "--eight-bit avoids that.",
        )
    return ()
