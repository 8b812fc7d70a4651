"""A folder as the policy leaves it: named by new UIDs, for its owner only, and done once."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread, dcmwrite

from fedvoxel.deid.folder import HowToClean, deidentify_folder
from fedvoxel.dicom.series import SeriesFiles
from fedvoxel.errors import ConfigError, DicomError
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
    assert (outcome.written, outcome.kept, outcome.whose_unknown) == (2, 0, ()) and steps == [(1, 3), (2, 3), (3, 3)]
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


def by_patient(files: SeriesFiles) -> frozenset[str]:
    return frozenset({f"case of {files.patient_id}"})


KNOWN = replace(HOW, whose=by_patient)
JANE_IS_OUT = replace(KNOWN, left_out=frozenset({"case of 4711"}))


def two_patients(source: Path) -> None:
    source.mkdir()
    make(source)
    other = base_object("CT", 7)
    other.PatientID, other.BodyPartExamined = "4712", "ABDOMEN"
    dcmwrite(source / "other", other, enforce_file_format=True)


def test_a_patient_is_taken_out_where_the_originals_are_gone(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    two_patients(source)
    assert deidentify_folder(source, out, KNOWN).written == 3
    notes = list(out.rglob(".whose"))
    assert len(notes) == 3 and {note.stat().st_mode & 0o777 for note in notes} == {0o600}
    assert not any("4711" in note.read_text() for note in notes)
    for seed in range(3):
        (source / f"Doe_{seed}").unlink()
    outcome = deidentify_folder(source, out, KNOWN)
    assert (outcome.kept, outcome.removed, outcome.whose_unknown) == (1, 0, ()), "nobody has objected yet"
    outcome = deidentify_folder(source, out, JANE_IS_OUT)
    assert (outcome.written, outcome.kept, outcome.left_out, outcome.removed) == (0, 1, 0, 2)
    assert len(list(out.glob("patient-*"))) == 1 and outcome.whose_unknown == ()


def test_a_patient_is_taken_out_though_the_originals_cannot_be_read(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    two_patients(source)
    deidentify_folder(source, out, KNOWN)
    source.rename(tmp_path / "gone")
    with pytest.raises(DicomError, match="cannot be read"):
        deidentify_folder(source, out, JANE_IS_OUT)
    assert len(list(out.rglob("*.dcm"))) == 1


def test_a_series_of_which_nobody_can_tell_whose_it_is_is_named(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    two_patients(source)
    deidentify_folder(source, out, KNOWN)
    for note in out.rglob(".whose"):
        note.unlink()  # as an earlier version wrote them
    for seed in range(3):
        (source / f"Doe_{seed}").unlink()
    outcome = deidentify_folder(source, out, JANE_IS_OUT)
    assert outcome.kept == 1 and len(list(out.rglob(".whose"))) == 1
    unknown = {path.parent.relative_to(out).as_posix() for path in out.rglob("*.dcm")} - {
        note.parent.relative_to(out).as_posix() for note in out.rglob(".whose")
    }
    assert set(outcome.whose_unknown) == unknown and len(unknown) == 2
    (out / outcome.whose_unknown[0] / ".whose").write_bytes(b"\xff damaged")
    assert deidentify_folder(source, out, JANE_IS_OUT).whose_unknown == outcome.whose_unknown


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
