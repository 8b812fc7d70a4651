"""An identified series is read as it is, and never mixes two patients."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset

from fedvoxel.dicom.series import find_series
from fedvoxel.dicom.study_series import StudySeries, read_study_series
from fedvoxel.errors import DicomError
from tests.dicom.phantom import NAME, PATIENT, Phantom, write_one


def read(folder: Path) -> StudySeries:
    (files,) = find_series(folder).series
    return read_study_series(files)


def test_a_series_keeps_its_patient_and_pixels(tmp_path: Path) -> None:
    phantom = Phantom()
    series = read(phantom.write(tmp_path))
    assert {str(header.PatientName) for header in series.headers} == {NAME}
    order = np.argsort([header.InstanceNumber for header in series.headers])
    pixels = np.concatenate([series.stored_pixels(index) for index in order])
    np.testing.assert_array_equal(pixels, phantom.stored)


def test_its_representation_shows_nobody(tmp_path: Path) -> None:
    series = read(Phantom().write(tmp_path))
    assert NAME not in repr(series) and PATIENT not in repr(series) and series.series_uid not in repr(series)


@pytest.mark.parametrize("keyword", ["PatientName", "PatientBirthDate"])
def test_files_of_one_series_that_name_two_patients_are_refused(tmp_path: Path, keyword: str) -> None:
    def edit(slices: list[Dataset]) -> None:
        setattr(slices[3], keyword, "19990101" if keyword == "PatientBirthDate" else "Somebody^Else")

    folder = Phantom().write(tmp_path, edit)
    with pytest.raises(DicomError) as caught:
        read(folder)
    assert caught.value.reason == "mixed_patients" and "Else" not in str(caught.value)


def test_a_file_that_became_anothers_is_refused(tmp_path: Path) -> None:
    folder = Phantom().write(tmp_path)
    (files,) = find_series(folder).series
    write_one(files.paths[2], Phantom().slices()[0])
    with pytest.raises(DicomError) as caught:
        read_study_series(files)
    assert caught.value.reason == "changed_file"
