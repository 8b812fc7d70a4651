"""Segmentations whose frames name images, rightly, wrongly or as copies."""

from copy import deepcopy

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from fedvoxel.errors import GeometryError
from fedvoxel.volumes.dicom_label import label_of
from tests.volumes.dicom_cases import cleaned, grid_of, image_slices, label_voxels, seg_of
from tests.volumes.test_seg_label import NAMES, read


def source_of(frame: Dataset) -> Dataset:
    return frame.DerivationImageSequence[0].SourceImageSequence[0]


@pytest.mark.parametrize("direction", ["axial", "sagittal"])
def test_frames_that_name_another_slice_than_theirs_are_refused(direction: str) -> None:
    slices = image_slices(direction)
    made = seg_of(slices, label_voxels())
    assert np.array_equal(read(slices, made), label_voxels())
    named = {str(source_of(frame).ReferencedSOPInstanceUID) for frame in made.PerFrameFunctionalGroupsSequence}
    assert len(named) > 1
    source_of(made.PerFrameFunctionalGroupsSequence[0]).ReferencedSOPInstanceUID = slices[0].SOPInstanceUID
    with pytest.raises(GeometryError, match="another slice") as caught:
        read(slices, made)
    assert caught.value.reason == "malformed_label"


def test_frames_may_name_a_copy_that_the_volume_left_out_or_an_image_of_another_series() -> None:
    slices = image_slices()
    made = seg_of(slices, label_voxels())
    copies = deepcopy(slices)
    new = {str(image.SOPInstanceUID): generate_uid() for image in slices}
    for copy in copies:
        copy.SOPInstanceUID = new[str(copy.SOPInstanceUID)]
    for frame in made.PerFrameFunctionalGroupsSequence:
        source = source_of(frame)  # frames of two segments may share it
        source.ReferencedSOPInstanceUID = new.get(str(source.ReferencedSOPInstanceUID), source.ReferencedSOPInstanceUID)
    image = grid_of(slices)
    assert np.array_equal(label_of(cleaned(made), image, cleaned(*slices, *copies), NAMES), label_voxels())
    assert np.array_equal(read(slices, made), label_voxels())
