"""Finds the slice of a volume that an instance of its series lies on, to hold against what a label says of it."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fedvoxel.deid.series import DeidentifiedSeries
    from fedvoxel.volumes.dicom_volume import DicomVolume

Places = dict[str, int | None]
"""SOPInstanceUID to slice; None for an instance of several frames."""


def slice_places(image: "DicomVolume", image_series: "DeidentifiedSeries") -> Places:
    """Returns the slice that each instance lies on, copies that the volume left out among them."""
    inverse = np.linalg.inv(image.geometry.affine)
    positions = {str(known.get("SOPInstanceUID")): known.get("ImagePositionPatient") for known in image_series.headers}
    return {
        uid: None if at is None else int(np.rint(inverse[0, :3] @ np.array(at, dtype=np.float64) + inverse[0, 3]))
        for uid, at in positions.items()
    }
