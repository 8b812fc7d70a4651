"""An export takes the place of the one before it, and of nothing else."""

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SegmentationStorage

from fedvoxel.errors import ConfigError, ReviewError
from fedvoxel.records.atomic import copy_file
from fedvoxel.review.export_folder import EXPORTED_FILE, ExportFolder, exported_in

RESULT = "segmentations/case-1-anna.dcm"


def object_of(path: Path, series: str) -> Path:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.SeriesInstanceUID = SegmentationStorage, f"{series}.1", series
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.save_as(path, enforce_file_format=True)
    return path


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_an_export_leaves_nothing_of_the_one_before(tmp_path: Path) -> None:
    out, made = tmp_path / "export", object_of(tmp_path / "made.dcm", "1.2.3")
    ExportFolder(out).replace({"study.csv": "a", "study.json": "{}"}, {RESULT: made})
    assert files_in(out) == {EXPORTED_FILE, "study.csv", "study.json", RESULT}
    assert (out / RESULT).read_bytes() == made.read_bytes()
    assert all(path.stat().st_mode & 0o077 == 0 for path in [out, *out.rglob("*")])
    kept = ExportFolder(out).replace({"study.csv": "b"}, {})
    assert files_in(out) == {EXPORTED_FILE, "study.csv"} and not (out / "segmentations").exists()
    assert kept.earlier == {RESULT: ("1.2.3",)} and "case-1-anna" in kept.remarks[0]


def test_series_that_were_exported_and_count_no_more_stay_known(tmp_path: Path) -> None:
    out = tmp_path / "export"
    for series, earlier in (("1.1", ()), ("1.1", ()), ("1.2", ("1.1",)), ("1.2", ("1.1",)), ("1.3", ("1.1", "1.2"))):
        kept = ExportFolder(out).replace({}, {RESULT: object_of(tmp_path / "made.dcm", series)})
        assert kept.earlier.get(RESULT, ()) == earlier and exported_in(out) == kept
        assert dcmread(out / RESULT).SeriesInstanceUID == series
    assert ExportFolder(out).replace({}, {}).earlier[RESULT] == ("1.1", "1.2", "1.3")
    again = ExportFolder(out).replace({}, {RESULT: tmp_path / "made.dcm"})
    assert again.earlier[RESULT] == ("1.1", "1.2")  # nobody is told to remove what counts again


@pytest.mark.parametrize("strange", ["notes.txt", "segmentations/case-9-anna.dcm", "deep/er/study.csv"])
def test_a_folder_with_other_files_is_refused_and_stays_as_it_is(tmp_path: Path, strange: str) -> None:
    out = tmp_path / "export"
    ExportFolder(out).replace({"study.csv": "a"}, {})
    (out / strange).parent.mkdir(parents=True, exist_ok=True)
    (out / strange).write_text("mine")
    before = files_in(out)
    with pytest.raises(ReviewError, match="holds 1 files that no export wrote"):
        ExportFolder(out)
    assert files_in(out) == before and (out / strange).read_text() == "mine"


def test_an_export_that_was_killed_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, made = tmp_path / "export", object_of(tmp_path / "made.dcm", "1.2.3")
    ExportFolder(out).replace({"study.csv": "a"}, {RESULT: made})

    def killed(source: Path, target: Path, mode: int) -> None:
        copy_file(source, target, mode)
        raise KeyboardInterrupt

    other = object_of(tmp_path / "other.dcm", "1.2.4")
    with monkeypatch.context() as patch:
        patch.setattr("fedvoxel.review.export_folder.copy_file", killed)
        with pytest.raises(KeyboardInterrupt):
            ExportFolder(out).replace({"study.csv": "b"}, {"reports/case-1-anna.dcm": other, RESULT: other})
    assert files_in(out) == {EXPORTED_FILE, "study.csv", "reports/case-1-anna.dcm"}
    kept = ExportFolder(out).replace({"study.csv": "b"}, {RESULT: other})
    assert files_in(out) == {EXPORTED_FILE, "study.csv", RESULT} and kept.earlier[RESULT] == ("1.2.3",)


@pytest.mark.parametrize("name", ["../study.json", "readers/anna/case/events/events.jsonl", "/study.csv", "study.txt"])
def test_a_list_that_names_other_files_removes_nothing(tmp_path: Path, name: str) -> None:
    out = tmp_path / "export"
    ExportFolder(out).replace({"study.csv": "a"}, {})
    text = (out / EXPORTED_FILE).read_text()
    (out / EXPORTED_FILE).write_text(text.replace('"study.csv"', f'"{name}"'))
    with pytest.raises(ConfigError, match="files"):
        ExportFolder(out)
    assert (out / "study.csv").read_text() == "a"
