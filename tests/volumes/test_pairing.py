from dataclasses import replace
from pathlib import Path

import pytest

from fedvoxel.dicom.series import SeriesFiles, find_series
from fedvoxel.volumes.pairing import pair


def series(uid: str, modality: str = "MR", frame: str = "frame", refers: tuple[str, ...] = ()) -> SeriesFiles:
    return SeriesFiles("patient", "", "study", uid, modality, ("class",), frame, refers, ())


T2, ADC = series("t2"), series("adc")
SEG = series("seg", "SEG", refers=("t2",))


def problems(images: list[SeriesFiles], labels: list[SeriesFiles]) -> list[str | None]:
    pairs = pair(images, labels)
    assert [made.image for made in pairs] == images
    assert all((made.label is None) == (made.problem is not None) for made in pairs)
    return [made.problem for made in pairs]


def test_a_label_goes_to_the_series_that_it_names() -> None:
    first, second = pair([T2, ADC], [SEG])
    assert first.label is SEG and first.problem is None
    assert second.label is None and second.problem == "missing_label"


def test_a_label_may_name_several_series() -> None:
    assert problems([T2, ADC], [replace(SEG, referenced_series=("adc", "t2"))]) == [None, None]


def test_two_labels_of_an_image_are_too_many() -> None:
    assert problems([T2, ADC], [SEG, series("again", "SEG", refers=("t2",))]) == ["several_labels", "missing_label"]


def test_a_label_of_another_patient_is_refused() -> None:
    assert problems([T2], [replace(SEG, patient_id="other")]) == ["label_other_image"]
    assert problems([T2], [replace(SEG, issuer="elsewhere")]) == ["label_other_image"]


@pytest.mark.parametrize("frame", ["other", ""])
def test_a_label_without_a_series_goes_by_its_frame_of_reference(frame: str) -> None:
    unnamed = series("rt", "RTSTRUCT")
    assert problems([T2, series("far", frame="far")], [unnamed]) == [None, "missing_label"]
    assert problems([T2, ADC], [unnamed]) == ["missing_label", "missing_label"]
    assert problems([T2], [replace(unnamed, frame_of_reference_uid=frame)]) == ["missing_label"]
    assert problems([replace(T2, frame_of_reference_uid="")], [replace(unnamed, frame_of_reference_uid="")]) == [
        "missing_label"
    ]
    assert problems([T2], [replace(unnamed, study_uid="another")]) == ["missing_label"]


def test_a_label_that_names_another_series_is_not_taken_for_its_frame_of_reference() -> None:
    assert problems([T2], [replace(SEG, referenced_series=("lost",))]) == ["missing_label"]


def test_real_folders(data_folder: Path) -> None:
    found = find_series(data_folder / "dicom_seg_rt/dcmqi/segmentations/24x38x3").series
    images = [one for one in found if one.modality == "CT" and len(one.paths) > 1]
    labels = [one for one in found if one.modality == "SEG"]
    assert problems(images, labels) == [None]
    found = find_series(data_folder / "dicom_seg_rt/rt-utils/mock_data").series
    images = [one for one in found if one.modality == "CT"]
    assert problems(images, [one for one in found if one.modality == "RTSTRUCT"]) == ["several_labels"]
