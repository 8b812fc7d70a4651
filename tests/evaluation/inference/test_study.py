"""One series of a study is taken, or the person is told which there are; nobody is named."""

from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from fedvoxel.config import parse_config
from fedvoxel.dicom.series import find_series
from fedvoxel.errors import DicomError, GeometryError, PredictionError
from fedvoxel.evaluation.inference.study import check_one_patient, choose_series, studies_in
from fedvoxel.export.description import InputRange
from tests.dicom.phantom import NAME, PATIENT, Phantom, write_all
from tests.evaluation.inference.bright_studies import RANGES, only_study
from tests.volumes.dicom_cases import image_slices, label_voxels, seg_of
from tests.volumes.site_pipeline import store

CT: dict[str, Any] = {"modalities": ["CT"], "body_parts": ["CHEST"], **RANGES}
STUDY = generate_uid()


def expected(**changes: Any) -> InputRange:
    return parse_config(InputRange, CT | changes, "the input")


def add(folder: Path, number: int | None, phantom: Phantom, **header: Any) -> Phantom:
    phantom.study_uid = STUDY

    def edit(slices: Any) -> None:
        for one in slices:
            one.SeriesNumber = number
            for keyword, value in header.items():
                setattr(one, keyword, value)

    phantom.write(folder / generate_uid()[-12:], edit)
    return phantom


def test_the_only_series_of_the_modality_is_taken(tmp_path: Path) -> None:
    add(tmp_path, 2, Phantom(modality="MR"))
    wanted = add(tmp_path, 7, Phantom())
    chosen = choose_series(only_study(tmp_path), expected())
    assert chosen.files.series_uid == wanted.series_uid and chosen.number == 2 and chosen.frames == 8
    assert chosen.voxels == 8 * 14 * 11


def test_a_body_part_that_a_header_names_decides(tmp_path: Path) -> None:
    add(tmp_path, 1, Phantom(), BodyPartExamined="HEAD")
    wanted = add(tmp_path, 2, Phantom(), BodyPartExamined="CHEST")
    assert choose_series(only_study(tmp_path), expected()).files.series_uid == wanted.series_uid


def test_a_localizer_and_a_single_slice_are_passed_over(tmp_path: Path) -> None:
    add(tmp_path, 1, Phantom(), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    add(tmp_path, 2, Phantom(shape=(1, 14, 11)))
    wanted = add(tmp_path, 3, Phantom())
    assert choose_series(only_study(tmp_path), expected()).files.series_uid == wanted.series_uid


def test_the_size_decides_where_the_rest_is_alike(tmp_path: Path) -> None:
    add(tmp_path, 1, Phantom(spacing_mm=(3.0, 0.1, 0.1)))
    wanted = add(tmp_path, 2, Phantom())
    assert choose_series(only_study(tmp_path), expected()).files.series_uid == wanted.series_uid


def test_where_several_fit_the_person_is_asked(tmp_path: Path) -> None:
    add(tmp_path, 4, Phantom())
    second = add(tmp_path, 5, Phantom(shape=(9, 14, 11)))
    study = only_study(tmp_path)
    with pytest.raises(PredictionError) as caught:
        choose_series(study, expected())
    assert caught.value.reason == "several_series"
    assert "1: CT, 8 slices; 2: CT, 9 slices; choose one with --series" in str(caught.value)
    assert NAME not in str(caught.value) and PATIENT not in str(caught.value)
    assert choose_series(study, expected(), 2).files.series_uid == second.series_uid
    with pytest.raises(PredictionError) as caught:
        choose_series(study, expected(), 3)
    assert caught.value.reason == "no_such_series" and "1: CT, 8 slices" in str(caught.value)


@pytest.mark.parametrize("wanted", [None, 1])
@pytest.mark.parametrize(
    ("header", "input_range", "reason"),
    [
        ({}, {"modalities": ["MR"]}, "wrong_modality"),
        ({"BodyPartExamined": "KNEE"}, {}, "wrong_body_part"),
    ],
)
def test_a_study_that_the_model_is_not_for_is_refused_even_if_it_was_chosen(
    tmp_path: Path, header: dict[str, str], input_range: dict[str, Any], reason: str, wanted: int | None
) -> None:
    add(tmp_path, 1, Phantom(), **header)
    with pytest.raises(PredictionError) as caught:
        choose_series(only_study(tmp_path), expected(**input_range), wanted)
    assert caught.value.reason == reason


def test_a_segmentation_is_no_image(tmp_path: Path) -> None:
    slices = image_slices()
    store(tmp_path, seg_of(slices, label_voxels()))
    with pytest.raises(PredictionError) as caught:
        choose_series(only_study(tmp_path), expected())
    assert caught.value.reason == "no_image"


def test_a_series_that_cannot_be_read_is_passed_over_unless_it_is_the_only_one(tmp_path: Path) -> None:
    loop = Phantom(study_uid=STUDY, modality="CT", shape=(1, 14, 11))

    def without_positions(slices: Any) -> None:
        slices[0].Modality, slices[0].NumberOfFrames = "US", 30

    loop.write(tmp_path / "loop", without_positions)
    with pytest.raises(GeometryError) as caught:
        choose_series(only_study(tmp_path), expected())
    assert caught.value.reason == "no_positions"
    wanted = add(tmp_path, 2, Phantom())
    assert choose_series(only_study(tmp_path), expected()).files.series_uid == wanted.series_uid


def test_an_enhanced_image_has_as_many_slices_as_frames(tmp_path: Path) -> None:
    write_all(tmp_path, [Phantom().enhanced()])
    assert choose_series(only_study(tmp_path), expected()).frames == 8


def test_studies_of_two_patients_are_told_apart(tmp_path: Path) -> None:
    Phantom().write(tmp_path / "one")
    Phantom().write(tmp_path / "two", lambda slices: [setattr(one, "PatientID", "OTHER") for one in slices] and None)
    studies = studies_in(find_series(tmp_path))
    assert [study.number for study in studies] == [1, 2]
    with pytest.raises(PredictionError, match=r"2 patients; name the folder of one patient, or .* --all") as caught:
        check_one_patient(studies)
    assert caught.value.reason == "several_patients" and "OTHER" not in str(caught.value)
    check_one_patient(studies[:1])


@pytest.mark.parametrize("same", ["study", "series"])
def test_two_patients_in_one_study_or_series_are_refused(tmp_path: Path, same: str) -> None:
    one, other = Phantom(study_uid=STUDY), Phantom(study_uid=STUDY)
    if same == "series":
        other.series_uid = one.series_uid
    one.write(tmp_path / "one")
    other.write(tmp_path / "two", lambda slices: [setattr(each, "PatientID", "OTHER") for each in slices] and None)
    with pytest.raises(DicomError) as caught:
        studies_in(find_series(tmp_path))
    assert caught.value.reason == "mixed_patients" and "OTHER" not in str(caught.value)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear colleague")
    with pytest.raises(PredictionError) as caught:
        studies_in(find_series(tmp_path))
    assert caught.value.reason == "no_image"
