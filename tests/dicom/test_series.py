"""A folder's files become series whatever they are called; what is not used is counted with its reason."""

import os
import shutil
from pathlib import Path

import pytest
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset

from fedvoxel.dicom.quiet import quiet
from fedvoxel.dicom.series import find_series
from fedvoxel.errors import DicomError
from tests.dicom.phantom import NAME, PATIENT, Phantom, item, write_all, write_one


def test_series_are_told_apart_whatever_their_files_are_called(tmp_path: Path) -> None:
    first, second = Phantom(), Phantom(modality="MR")
    write_all(tmp_path / "a", [*first.slices()[:5], *second.slices()])
    write_all(tmp_path / "ü" / "b.txt", first.slices()[5:])
    told: list[tuple[int, int]] = []
    inventory = find_series(tmp_path, lambda done, total: told.append((done, total)))
    assert {(found.series_uid, found.modality, len(found.paths)) for found in inventory.series} == {
        (first.series_uid, "CT", 8),
        (second.series_uid, "MR", 8),
    }
    assert [found.series_uid for found in inventory.series] == sorted((first.series_uid, second.series_uid))
    assert inventory.series[0].patient_id == PATIENT and inventory.refused == ()
    assert told == [(done, 16) for done in range(1, 17)]


def test_nothing_of_the_patient_is_shown(tmp_path: Path) -> None:
    phantom = Phantom()
    shown = repr(find_series(phantom.write(tmp_path)))
    assert not any(secret in shown for secret in (PATIENT, NAME, phantom.series_uid, phantom.study_uid, str(tmp_path)))


def test_patients_without_an_id_are_left_to_the_policy(tmp_path: Path) -> None:
    def edit(slices: list[Dataset]) -> None:
        for one in slices:
            del one.PatientID

    assert find_series(Phantom().write(tmp_path, edit)).series[0].patient_id == ""


def test_what_is_not_used_is_counted(tmp_path: Path) -> None:
    phantom = Phantom()
    phantom.write(tmp_path / "series")
    (tmp_path / "notes.txt").write_text("no DICOM")
    os.symlink(tmp_path / "series" / "IM00000", tmp_path / "linked")
    os.symlink("/", tmp_path / "root")
    os.mkfifo(tmp_path / "pipe")
    shutil.copy(tmp_path / "series" / "IM00001", tmp_path / "again.dcm")
    directory = item(SOPClassUID=uid.MediaStorageDirectoryStorage, SOPInstanceUID="1.2.3")
    write_one(tmp_path / "DICOMDIR", directory)
    nobody = phantom.slices()[0]
    with quiet():
        nobody.SOPInstanceUID = "none"
    nobody.file_meta = FileMetaDataset()
    nobody.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    write_one(tmp_path / "nobody", nobody)
    inventory = find_series(tmp_path)
    assert len(inventory.series) == 1 and len(inventory.series[0].paths) == 8
    assert dict(inventory.refused) == {
        "not_dicom": 1,
        "link": 2,
        "unreadable_file": 1,
        "repeated_instance": 1,
        "directory_record": 1,
        "no_identity": 1,
    }


def test_instances_with_one_uid_but_other_bytes_are_kept_for_the_volume_to_judge(tmp_path: Path) -> None:
    phantom = Phantom()
    slices = phantom.slices()
    slices[1].SOPInstanceUID = slices[0].SOPInstanceUID
    assert len(find_series(write_all(tmp_path, slices)).series[0].paths) == 8


@pytest.mark.parametrize("keyword", ["PatientID", "IssuerOfPatientID", "StudyInstanceUID", "Modality"])
def test_a_series_of_two_patients_or_studies_is_refused(tmp_path: Path, keyword: str) -> None:
    def edit(slices: list[Dataset]) -> None:
        setattr(slices[3], keyword, "PT" if keyword == "Modality" else "1.2.3")

    inventory = find_series(Phantom().write(tmp_path, edit))
    assert (inventory.series, inventory.refused) == ((), (("mixed_patients", 8),))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("SeriesInstanceUID", "../../etc/passwd"),
        ("StudyInstanceUID", "1.2.3' OR 1=1"),
        ("SOPInstanceUID", ""),
        ("PatientID", "x" * 1000),
        ("Modality", "<b>"),
    ],
)
def test_hostile_identifiers_are_refused(tmp_path: Path, keyword: str, value: str) -> None:
    one = Phantom().slices()[0]
    one.file_meta = FileMetaDataset()
    one.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    with quiet():
        one.add_new(keyword, "LO", value)
        inventory = find_series(write_all(tmp_path, [one]))
    assert (inventory.series, inventory.refused) == ((), (("no_identity", 1),))


def test_the_series_that_a_label_was_drawn_on_are_found(tmp_path: Path) -> None:
    seg = Phantom().slices()[0]
    seg.ReferencedSeriesSequence = [item(SeriesInstanceUID="1.2.4"), item(SeriesInstanceUID="1.2.3")]
    study = item(RTReferencedSeriesSequence=[item(SeriesInstanceUID="1.2.5")])
    seg.ReferencedFrameOfReferenceSequence = [item(RTReferencedStudySequence=[study])]
    assert find_series(write_all(tmp_path, [seg])).series[0].referenced_series == ("1.2.3", "1.2.4", "1.2.5")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DicomError) as caught:
        find_series(tmp_path / "missing")
    assert caught.value.reason == "unreadable_file" and str(tmp_path) not in str(caught.value)


def test_one_folder_that_cannot_be_read_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Phantom().write(tmp_path / "series")
    (tmp_path / "closed").mkdir()
    listed = os.scandir

    def scandir(folder: Path) -> object:
        if folder.name == "closed":
            raise PermissionError(13, "denied")
        return listed(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    inventory = find_series(tmp_path)
    assert len(inventory.series) == 1 and inventory.refused == (("unreadable_file", 1),)
