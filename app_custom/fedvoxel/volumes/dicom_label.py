"""Makes a label on the image's grid out of a de-identified DICOM SEG or RTSTRUCT series.

Whatever a file holds, the outcome is a label or an error with its reason; no text of the file comes into a message.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedvoxel.errors import FedVoxelError
from fedvoxel.volumes.label_names import LabelNames
from fedvoxel.volumes.refusal import geometry_error
from fedvoxel.volumes.rtstruct_label import paint_structures
from fedvoxel.volumes.seg_label import paint_seg

if TYPE_CHECKING:
    from fedvoxel.deid.series import DeidentifiedSeries
    from fedvoxel.volumes.dicom_volume import DicomVolume
    from fedvoxel.volumes.label_canvas import LabelCanvas

MAX_CLASSES = 255


def label_of(
    series: "DeidentifiedSeries",
    image: "DicomVolume",
    image_series: "DeidentifiedSeries",
    names: LabelNames,
    half: bool = False,
) -> NDArray[np.uint8]:
    """Reads the label of an image.

    Args:
        series: The label: modality SEG or RTSTRUCT.
        image: The image's volume.
        image_series: The series that the volume was made of.
        names: The names or codes of each class; a class that the label does not mark stays empty.
        half: Whether a fractional segmentation counts where it is at least one half; else it is refused.

    Returns:
        The label (X, Y, Z) on the voxels of `image.volume`: 0 is background, 1 + i is class i of `names`.

    Raises:
        GeometryError: The label cannot be used, does not belong to the image or its grid, or marks nothing.
        DicomError: Its pixels cannot be read.
    """
    if not 1 <= len(names) <= MAX_CLASSES:
        raise geometry_error("unexpected_class", f"expected 1 to {MAX_CLASSES} classes, got {len(names)}")
    try:
        codes = _painted(series, image, image_series, names, half).finished()
    except FedVoxelError:
        raise
    except MemoryError:
        raise geometry_error("too_large", "there is not enough memory for the label") from None
    except Exception as error:  # values of foreign bytes: pydicom and numpy raise whatever they meet
        kind = type(error).__name__  # the error's own text may quote the header
        raise geometry_error("malformed_label", f"the label is not as the standard has it ({kind})") from None
    placed: NDArray[Any] = image.to_grid(codes)
    return placed


def _painted(
    series: "DeidentifiedSeries",
    image: "DicomVolume",
    image_series: "DeidentifiedSeries",
    names: LabelNames,
    half: bool,
) -> "LabelCanvas":
    if series.modality == "SEG":
        return paint_seg(series, image, image_series, names, half)
    if series.modality == "RTSTRUCT":
        return paint_structures(series, image, image_series, names)
    raise geometry_error("unsupported_label", "the label is neither a DICOM SEG nor an RTSTRUCT")
