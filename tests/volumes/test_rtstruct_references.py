"""Structure sets whose contours name slices, rightly, wrongly or as copies, or that list a contour twice."""

from copy import deepcopy

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.uid import generate_uid

from fedvoxel.errors import GeometryError
from fedvoxel.volumes.dicom_label import label_of
from tests.volumes.dicom_cases import cleaned, grid_of, image_slices, label_voxels, rtstruct_of
from tests.volumes.test_rtstruct_label import NAMES, drawn, first, name_slice, read


@pytest.fixture
def slices() -> list[Dataset]:
    return image_slices()


def name_all(made: Dataset, slices: list[Dataset]) -> None:
    """Lets each contour name the slice that it lies on."""
    heights = np.array([float(image.ImagePositionPatient[2]) for image in slices])
    for contour in (contour for item in made.ROIContourSequence for contour in item.ContourSequence):
        name_slice(contour, slices[int(np.argmin(np.abs(heights - float(contour.ContourData[2]))))])


def test_contours_that_name_another_slice_than_theirs_are_refused(slices: list[Dataset]) -> None:
    made = rtstruct_of(slices, drawn())
    name_all(made, slices)
    assert np.array_equal(read(slices, made), label_voxels())
    name_slice(first(made), slices[0])
    with pytest.raises(GeometryError, match="another slice") as caught:
        read(slices, made)
    assert caught.value.reason == "malformed_label"


def test_contours_may_name_a_copy_that_the_volume_left_out(slices: list[Dataset]) -> None:
    made = rtstruct_of(slices, drawn())
    name_all(made, slices)
    copies = deepcopy(slices)
    for copy in copies:
        copy.SOPInstanceUID = generate_uid()
    name_all(made, copies)
    image = grid_of(slices)
    assert np.array_equal(label_of(cleaned(made), image, cleaned(*slices, *copies), NAMES), label_voxels())


def test_a_contour_that_is_listed_twice_is_one(slices: list[Dataset]) -> None:
    made = rtstruct_of(slices, drawn())
    for item in made.ROIContourSequence:
        item.ContourSequence = [*item.ContourSequence, *deepcopy(list(item.ContourSequence))]
    assert np.array_equal(read(slices, made), label_voxels())


def test_an_exclusive_or_contour_that_is_listed_twice_takes_itself_away(slices: list[Dataset]) -> None:
    made = rtstruct_of(slices, drawn())
    sequence = made.ROIContourSequence[0].ContourSequence
    for contour in sequence:
        contour.ContourGeometricType = "CLOSEDPLANAR_XOR"
    made.ROIContourSequence[0].ContourSequence = [*sequence, *deepcopy(list(sequence))]
    assert not (read(slices, made) == 1).any()
