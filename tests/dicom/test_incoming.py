"""What lies in the incoming folder is whole, is its owner's alone, and counts only once it is complete."""

import json
import shutil
from pathlib import Path

import pydicom
import pytest

from fedvoxel.dicom.incoming import IncomingStore
from fedvoxel.dicom.pacs_config import PacsLimits
from fedvoxel.dicom.query import FoundSeries
from fedvoxel.errors import DicomError

LIMITS = PacsLimits(free_gib=0)


@pytest.fixture
def files(head: list[Path]) -> list[Path]:
    return head[:4]


@pytest.fixture
def uids(files: list[Path]) -> list[str]:
    return [str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID) for path in files]


@pytest.fixture
def found(files: list[Path]) -> FoundSeries:
    one = pydicom.dcmread(files[0], stop_before_pixels=True)
    return FoundSeries(one.PatientID, one.StudyInstanceUID, one.SeriesInstanceUID, "MR", 4)


@pytest.fixture
def store(tmp_path: Path) -> IncomingStore:
    return IncomingStore(tmp_path / "a" / "incoming")


def filled(store: IncomingStore, found: FoundSeries, uids: list[str], files: list[Path]) -> None:
    receipt = store.receipt(found, uids, LIMITS)
    for path in files:
        receipt.take([path.read_bytes()])
    receipt.complete()


def test_a_mark_holds_only_while_its_files_do(
    store: IncomingStore, found: FoundSeries, uids: list[str], files: list[Path]
) -> None:
    folder = store.series_folder(found)
    filled(store, found, uids, files)
    assert store.is_complete(found)
    paths = sorted(folder.glob("*.dcm"))
    kept = paths[0].read_bytes()
    paths[0].write_bytes(kept[:-2])
    assert not store.is_complete(found)
    paths[0].write_bytes(kept)
    assert store.is_complete(found)
    shutil.copy(paths[0], folder / "another.dcm")
    assert not store.is_complete(found)
    (folder / "another.dcm").unlink()
    paths[1].unlink()
    assert not store.is_complete(found)
    for broken in ("", "{", "[]", "7", json.dumps({"sizes_bytes": 3})):
        (folder / "complete.json").write_text(broken)
        assert not store.is_complete(found)


def test_a_series_that_has_grown_since_is_not_complete(
    store: IncomingStore, found: FoundSeries, uids: list[str], files: list[Path]
) -> None:
    filled(store, found, uids, files)
    grown = FoundSeries(found.patient_id, found.study_uid, found.series_uid, "MR", 5)
    assert not store.is_complete(grown)
    receipt = store.receipt(grown, [*uids, "1.2.3"], LIMITS)
    assert receipt.missing() == ("1.2.3",) and not store.is_complete(found)


def test_leftovers_and_what_is_no_longer_listed_go(
    store: IncomingStore, found: FoundSeries, uids: list[str], files: list[Path]
) -> None:
    filled(store, found, uids, files)
    (store.series_folder(found) / ".part-killed").write_bytes(b"half")
    receipt = store.receipt(found, uids[:3], LIMITS)
    assert receipt.count() == (3, 3)
    assert len(list(store.series_folder(found).iterdir())) == 3


def test_nothing_listed_is_nothing_complete(store: IncomingStore, found: FoundSeries) -> None:
    with pytest.raises(DicomError) as refused:
        store.receipt(found, [], LIMITS).complete()
    assert refused.value.reason == "pacs_incomplete"


def test_a_full_disk_is_said_and_leaves_nothing(
    store: IncomingStore, found: FoundSeries, uids: list[str], files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = store.receipt(found, uids, LIMITS)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    for call in ("write", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(f"fedvoxel.dicom.incoming.os.{call}", full)
            with pytest.raises(DicomError) as refused:
                receipt.take([files[0].read_bytes()])
        assert refused.value.reason == "incoming_disk"
        assert list(store.series_folder(found).iterdir()) == []


def test_a_push_is_kept_but_completes_nothing(
    store: IncomingStore, found: FoundSeries, uids: list[str], files: list[Path]
) -> None:
    for path in files:
        store.take_pushed([path.read_bytes()], LIMITS)
    assert not store.is_complete(found)
    receipt = store.receipt(found, uids, LIMITS)
    assert receipt.missing() == ()
    receipt.complete()
    assert store.is_complete(found)
    for content in (b"", b"\0" * 200, files[0].read_bytes()[:300]):
        with pytest.raises(DicomError) as refused:
            store.take_pushed([content], LIMITS)
        assert refused.value.reason == "pacs_garbled"
    assert [path.name for path in store.folder.iterdir()] == [store.series_folder(found).name]


def test_names_say_nothing_and_lead_nowhere(store: IncomingStore) -> None:
    hostile = FoundSeries("x", "1.2", "../../../etc/passwd", "MR", 1)
    assert store.series_folder(hostile).parent == store.folder
    assert store.series_folder(hostile).name.isalnum()


def no_space(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_disk_that_takes_no_folder_is_said(
    store: IncomingStore, found: FoundSeries, uids: list[str], files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "mkdir", no_space)
    for call in (
        lambda: IncomingStore(store.folder),
        lambda: store.receipt(found, uids, LIMITS),
        lambda: store.take_pushed([files[0].read_bytes()], LIMITS),
    ):
        with pytest.raises(DicomError) as refused:
            call()
        assert refused.value.reason == "incoming_disk"


@pytest.mark.parametrize("call", ["incoming.write_json", "incoming.os.replace"])
def test_a_disk_that_takes_no_mark_or_name_is_said(
    call: str,
    store: IncomingStore,
    found: FoundSeries,
    uids: list[str],
    files: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"fedvoxel.dicom.{call}", no_space)
    with pytest.raises(DicomError) as refused:
        filled(store, found, uids, files)
    assert refused.value.reason == "incoming_disk"
    assert not store.is_complete(found)
