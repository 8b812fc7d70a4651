"""A folder as the policy leaves it: named by new UIDs, for its owner only, and done once."""

from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite

from fedvoxel.deid.folder import HowToClean, deidentify_folder
from fedvoxel.errors import ConfigError
from tests.deid.opened import keys, policy
from tests.deid.scans import base_object

HOW = HowToClean(policy(), keys(), frozenset())


def make(folder: Path) -> None:
    for seed, part in enumerate(("ABDOMEN", "ABDOMEN", "HEAD")):
        dataset = base_object("CT", seed)
        dataset.PatientID, dataset.BodyPartExamined = "4711", part
        dcmwrite(folder / f"Doe_{seed}", dataset, enforce_file_format=True)
    (folder / "notes.txt").write_text("Jane Doe")


def test_a_folder_is_cleaned_once_and_what_is_refused_is_counted(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    make(source)
    steps: list[tuple[int, int]] = []
    outcome = deidentify_folder(source, out, HOW, lambda done, total: steps.append((done, total)))
    assert (outcome.written, outcome.kept) == (2, 0) and steps == [(1, 3), (2, 3), (3, 3)]
    assert outcome.refused == (("not_dicom", 1), ("recognizable_face", 1))
    files = sorted(path for path in out.rglob("*") if path.is_file())
    for path in files:
        header = dcmread(path)
        assert path == out / header.PatientID / header.SeriesInstanceUID / f"{header.SOPInstanceUID}.dcm"
        assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    before = [(path, path.read_bytes()) for path in files]
    files[0].unlink()
    again = deidentify_folder(source, out, HOW)
    assert (again.written, again.kept) == (1, 1)
    assert [(path, path.read_bytes()) for path in files] == before


def test_what_another_policy_left_is_written_anew(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    make(source)
    deidentify_folder(source, out, HOW)
    stricter = HowToClean(policy(dates="remove"), keys(), frozenset())
    assert deidentify_folder(source, out, stricter).written == 2
    assert not any(dcmread(path).StudyDate for path in out.rglob("*.dcm"))


@pytest.mark.parametrize(("source", "out"), [("a", "a"), ("a", "a/b"), ("a/b", "a")])
def test_neither_folder_lies_in_the_other(tmp_path: Path, source: str, out: str) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(ConfigError, match="neither inside the other"):
        deidentify_folder(tmp_path / source, tmp_path / out, HOW)
