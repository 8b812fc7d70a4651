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
    files = sorted(out.rglob("*.dcm"))
    for path in files:
        header = dcmread(path)
        assert path == out / header.PatientID / header.SeriesInstanceUID / f"{header.SOPInstanceUID}.dcm"
        assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    before = [(path, path.read_bytes()) for path in files]
    files[0].unlink()
    again = deidentify_folder(source, out, HOW)
    assert (again.written, again.kept) == (1, 1)
    assert [(path, path.read_bytes()) for path in files] == before


@pytest.mark.parametrize(
    "other",
    [
        HowToClean(policy(dates="remove"), keys(), frozenset()),
        HowToClean(policy(), keys("f" * 64), frozenset()),
        HowToClean(policy(), keys(), frozenset({"liver"})),
    ],
    ids=["policy", "key", "names"],
)
def test_a_folder_that_was_made_otherwise_is_refused(tmp_path: Path, other: HowToClean) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    make(source)
    deidentify_folder(source, out, HOW)
    with pytest.raises(ConfigError, match="the same policy, key and names"):
        deidentify_folder(source, out, other)
    assert deidentify_folder(source, out, HOW).kept == 2


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    out = tmp_path / "out"
    out.mkdir(mode=0o755)
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError):
        deidentify_folder(tmp_path / "source", out, HOW)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"] and out.stat().st_mode & 0o777 == 0o755


def test_what_is_refused_now_does_not_stay_from_before(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    make(source)
    deidentify_folder(source, out, HOW)
    changed = dcmread(source / "Doe_0")
    changed.BodyPartExamined = "HEAD"
    dcmwrite(source / "Doe_0", changed)
    assert deidentify_folder(source, out, HOW).kept == 1
    assert len(list(out.rglob("*.dcm"))) == 1


def test_a_folder_that_others_can_enter_is_closed(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    make(source)
    out.mkdir()
    out.chmod(0o755)
    deidentify_folder(source, out, HOW)
    next(out.glob("patient-*")).chmod(0o755)
    deidentify_folder(source, out, HOW)
    assert {path.stat().st_mode & 0o777 for path in (out, *out.rglob("*")) if path.is_dir()} == {0o700}


@pytest.mark.parametrize(("source", "out"), [("a", "a"), ("a", "a/b"), ("a/b", "a")])
def test_neither_folder_lies_in_the_other(tmp_path: Path, source: str, out: str) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(ConfigError, match="neither inside the other"):
        deidentify_folder(tmp_path / source, tmp_path / out, HOW)
