"""One series of a study is taken, or the person is told which there are; nobody is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.uid import generate_uid

from fedvoxel.config import parse_config
from fedvoxel.dicom.series import find_series
from fedvoxel.errors import DicomError, GeometryError, PredictionError
from fedvoxel.evaluation.inference.study import check_one_patient, choose_series, strays_beside, studies_in
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


def cut_off(folder: Path, kept_bytes: int | None = None) -> Path:
    """Cuts the last slice off, as an aborted copy does: after some bytes, or in the middle of its header."""
    _, last = max((float(dcmread(path).ImagePositionPatient[2]), path) for path in folder.iterdir())
    content = last.read_bytes()
    middle = content.index(b"\x20\x00\x0d\x00")  # StudyInstanceUID
    last.write_bytes(content[: middle + 12 if kept_bytes is None else kept_bytes])
    return last


@pytest.mark.parametrize("kept_bytes", [0, 60, 131, 140, None])
def test_a_slice_that_was_cut_off_is_no_shorter_volume(tmp_path: Path, kept_bytes: int | None) -> None:
    cut_off(Phantom().write(tmp_path), kept_bytes)
    study = only_study(tmp_path)
    assert len(study.series[0].paths) == 7
    with pytest.raises(DicomError, match=r"1 files beside .* may be images of it; copy or export") as caught:
        choose_series(study, expected())
    assert caught.value.reason == "unreadable_beside" and str(tmp_path) not in str(caught.value)


def renamed(path: Path) -> None:
    path.rename(path.with_name("IM9.dcm"))


def closed(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/null")


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def without_preamble(path: Path) -> None:
    path.write_bytes(path.read_bytes()[132:])


def garbled(path: Path) -> None:
    path.write_bytes(b"\xa5" * 4000)
    renamed(path)


@pytest.mark.parametrize("damage", [closed, zeroed, without_preamble, garbled])
def test_whatever_may_be_a_slice_refuses_the_study(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(next(Phantom().write(tmp_path).iterdir()))
    with pytest.raises(DicomError) as caught:
        choose_series(only_study(tmp_path), expected())
    assert caught.value.reason == "unreadable_beside"


def test_what_plainly_is_no_image_is_passed_over(tmp_path: Path) -> None:
    folder = Phantom().write(tmp_path)
    (folder / "README").write_text("Exported by a workstation")
    (folder / "thumbnail.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(400))
    (folder / "._IM1.dcm").write_bytes(b"\0\x05\x16\x07\0\2\0\0Mac OS X" + bytes(400))
    (folder / "DICOMDIR").write_bytes(b"")
    assert choose_series(only_study(tmp_path), expected()).frames == 8


def test_an_unreadable_file_is_held_against_the_studies_of_its_own_folder(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Phantom().write(tmp_path / name)
    cut_off(tmp_path / "b", 0)
    inventory = find_series(tmp_path)
    studies = studies_in(inventory)
    assert sorted(study.doubtful for study in studies) == [0, 1] and strays_beside(studies, inventory) is None
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "IM1").write_bytes(b"")
    inventory = find_series(tmp_path)
    studies = studies_in(inventory)
    assert sorted(study.doubtful for study in studies) == [0, 1]
    assert "1 files in folders of no study" in str(strays_beside(studies, inventory))


def test_in_a_folder_of_one_study_an_unreadable_file_is_of_it_wherever_it_lies(tmp_path: Path) -> None:
    Phantom().write(tmp_path / "first")
    (tmp_path / "second").mkdir()
    (tmp_path / "second" / "IM9").write_bytes(b"")
    assert only_study(tmp_path).doubtful == 1


@pytest.mark.parametrize(
    ("keyword", "one", "other", "same"),
    [
        ("PatientName", "DOE^JANE", "Doe^Jane^^", True),
        ("PatientName", "Doe^Jane", "Doe^Jane=ドウ^ジェーン", True),
        ("PatientName", "Doe^Jane", "Doe^John", False),
        ("PatientBirthDate", "19700101", "", True),
        ("PatientBirthDate", "19700101", "19710101", False),
        ("PatientSex", "F", "M", False),
    ],
)
@pytest.mark.parametrize("number", ["4711", ""])
def test_two_series_of_one_study_that_name_two_people_are_refused(
    tmp_path: Path, keyword: str, one: str, other: str, same: bool, number: str
) -> None:
    for value in (one, other):
        header = {"SpecificCharacterSet": "ISO_IR 192", "PatientID": number, keyword: value}
        add(tmp_path, 1, Phantom(), **header)
    if same:
        assert len(only_study(tmp_path).series) == 2
        return
    with pytest.raises(DicomError) as caught:
        only_study(tmp_path)
    assert caught.value.reason == "mixed_patients" and other not in str(caught.value)


def test_patients_without_a_number_are_not_one_patient(tmp_path: Path) -> None:
    for name in ("one", "two"):
        Phantom().write(tmp_path / name, lambda slices: [setattr(each, "PatientID", "") for each in slices] and None)
    with pytest.raises(PredictionError) as caught:
        check_one_patient(studies_in(find_series(tmp_path)))
    assert caught.value.reason == "several_patients"
