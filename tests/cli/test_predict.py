"""`fedvoxel predict`: what it takes, what it says, and what it ends with."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread

from fedvoxel.cli.main import main
from fedvoxel.export.publishing import Publisher
from tests.dicom.phantom import Phantom
from tests.evaluation.inference.bright_studies import bright_slices, bright_study, levels
from tests.evaluation.inference.command import RANGES, crl_file, root_file
from tests.export.package_sample import sample_package, sample_signer, sample_trust
from tests.export.throwaway_root import Root
from tests.piped_input import piped
from tests.volumes.scans import write_nifti
from tests.volumes.site_pipeline import store

NAMED = {"PatientName": "Doe^Jane", "PatientID": "4711", "AccessionNumber": "ACC99"}


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    """The command line but for the study."""
    package = sample_package(tmp_path, input=RANGES)
    trust = ["--root", str(root_file(tmp_path)), "--crl", str(crl_file(tmp_path))]
    return ["predict", str(package.path), *trust, "--out", str(tmp_path / "out")]


def results(folder: Path) -> list[Path]:
    return sorted((folder / "out").glob("*")) if (folder / "out").exists() else []


def test_a_study_is_predicted_and_nobody_is_named(
    asked: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    study = bright_study(tmp_path / "study", BodyPartExamined="HEAD", **NAMED)
    assert main([*asked, str(study)]) == 0
    said = capfd.readouterr()
    assert "anterior hippocampus" in said.out and " mL" in said.out and "research use only" in said.out
    assert "Next: look at it in your viewer" in said.out and "fedvoxel pacs store" in said.out
    for secret in NAMED.values():
        assert secret not in said.out + said.err
    (folder,) = results(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["report.dcm", "segmentation.dcm", "summary.json"]


def test_a_query_comes_through_a_pipe(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fedvoxel.plain_file.MOST_TEXT_BYTES", 40)
    site = tmp_path / "fedvoxel_site.json"
    nobody = {"protocol": "dicomweb", "url": "http://127.0.0.1:1", "timeout_s": 1}
    site.write_text(json.dumps({"schema_version": 1, "pseudonym_key": "0" * 64, "pacs": {"radiology": nobody}}))
    pacs = ["--pacs", "radiology", "--site", str(site), "--query", "-"]
    for query, code, said in (
        ('{"StudyDate": "20240101"}', 3, "expected a query with StudyInstanceUID"),
        ('{"PatientID": "4711"', 3, "the query (standard input) cannot be read as JSON"),
        ('{"PatientID": "4711"}' + " " * 20, 3, "(standard input): expected at most 40 bytes"),
        ('{"PatientID": "4711"}', 15, "cannot be connected to"),
    ):
        with piped(query):
            assert main([*asked, *pacs]) == code
        shown = capsys.readouterr().err
        assert said in shown and "4711" not in shown


def test_what_a_viewer_shows_wrong_is_a_note_on_the_screen(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = str(bright_study(tmp_path / "study", BodyPartExamined="HEAD"))
    assert main([*asked, study]) == 0
    assert "Note: OHIF 3.13 misplaces this segmentation" in capsys.readouterr().out
    assert main([*asked, study, "--eight-bit"]) == 0
    assert "OHIF" not in capsys.readouterr().out


def test_a_script_reads_json(asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*asked, str(bright_study(tmp_path / "study")), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    (result,) = said["results"]
    assert said["failures"] == [] and said["stored_at"] is None and said["model"]["name"] == "hippocampus"
    assert Path(result["folder"]).is_dir() and [one["code"] for one in result["structures"]] == [1, 2]


def test_a_nifti_file_is_predicted(asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_nifti(tmp_path / "scan.nii.gz", np.array([100, 600, 1100], np.int16)[levels()])
    assert main([*asked, str(path)]) == 0
    assert "does not say its modality" in capsys.readouterr().out
    (folder,) = results(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == ["label.nii.gz", "summary.json"]


def test_of_several_studies_each_is_predicted_and_a_bad_one_passed_over(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bright_study(tmp_path / "studies" / "one")
    bright_study(tmp_path / "studies" / "two")
    broken = bright_slices("axial", levels())
    del broken[4]
    store(tmp_path / "studies" / "three", *broken)
    assert main([*asked, str(tmp_path / "studies")]) == 4
    said = capsys.readouterr()
    assert "2 predicted, 1 not" in said.out and "slices are missing" in said.out
    assert len(said.err.strip().splitlines()) == 1 and len(results(tmp_path)) == 2


def test_what_is_left_of_a_lost_study_is_told(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two", "lost"):
        bright_study(tmp_path / "studies" / name)
    for path in (tmp_path / "studies" / "lost").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    assert main([*asked, str(tmp_path / "studies")]) == 15
    said = capsys.readouterr().out
    assert "2 predicted, 1 not" in said and "other files: not predicted" in said and len(results(tmp_path)) == 2


def test_studies_of_several_patients_need_a_word(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bright_study(tmp_path / "studies" / "one", PatientID="1")
    bright_study(tmp_path / "studies" / "two", PatientID="2")
    assert main([*asked, str(tmp_path / "studies")]) == 18
    assert "2 patients" in capsys.readouterr().err and results(tmp_path) == []
    assert main([*asked, str(tmp_path / "studies"), "--all"]) == 0
    assert len(results(tmp_path)) == 2


def ct(folder: Path) -> Path:
    return Phantom().write(folder)


def knee(folder: Path) -> Path:
    return bright_study(folder, BodyPartExamined="KNEE")


def nothing(folder: Path) -> Path:
    folder.mkdir()
    return folder


def damaged(folder: Path) -> Path:
    bright_study(folder)
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    return folder


def cut_off(folder: Path) -> Path:
    """The last slice is an empty file: what is left is a stack as regular as the whole one."""
    bright_study(folder)
    max(folder.iterdir(), key=lambda path: dcmread(path).ImagePositionPatient[2]).write_bytes(b"")
    return folder


def two_in_one(folder: Path) -> Path:
    slices: list[Dataset] = bright_slices("axial", levels())
    slices[0].PatientID = "SOMEBODY"
    return store(folder, *slices)


@pytest.mark.parametrize(
    ("make", "code", "said"),
    [
        (ct, 18, "made for MR, not CT"),
        (knee, 18, "the header says KNEE"),
        (nothing, 18, "no DICOM series"),
        (damaged, 15, "copy or export the file again"),
        (cut_off, 15, "1 files beside the study's images cannot be used"),
        (two_in_one, 15, "several patients"),
        (lambda folder: folder, 3, "a name that does not exist"),
    ],
)
def test_what_cannot_be_predicted_is_one_line(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Any, code: int, said: str
) -> None:
    assert main([*asked, str(make(tmp_path / "study"))]) == code
    shown = capsys.readouterr()
    assert said in shown.err and len(shown.err.strip().splitlines()) == 1
    assert "SOMEBODY" not in shown.err and str(tmp_path) not in shown.err
    assert results(tmp_path) == []


def test_a_package_of_others_is_refused(asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = bright_study(tmp_path / "study")
    sample_package(tmp_path, input=RANGES, identity=Root("other").issue())
    assert main([*asked, str(study)]) == 17
    assert "another consortium" in capsys.readouterr().err and results(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "expected either a folder or file, or --pacs"),
        (["STUDY", "--pacs", "web"], "expected either a folder or file, or --pacs"),
        (["--pacs", "web"], "--pacs and --query together"),
        (["--pacs", "web", "--query", "q.json"], "expected --site"),
        (["STUDY", "--store", "web"], "expected --site"),
        (["FILE", "--store", "web", "--site", "s.json"], "expected a study in DICOM with --store"),
        (["TEXT"], "ends in .nii or .nii.gz"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    places = {"STUDY": tmp_path, "FILE": tmp_path / "scan.nii", "TEXT": tmp_path / "notes.txt"}
    for name in ("FILE", "TEXT"):
        places[name].write_bytes(b"")
    assert main([*asked, *(str(places.get(option, option)) for option in options)]) == 3
    assert said in capsys.readouterr().err


def test_without_a_root_nothing_is_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    package = sample_package(tmp_path, input=RANGES)
    assert main(["predict", str(package.path), str(bright_study(tmp_path / "study"))]) == 2
    assert "--root" in capsys.readouterr().err


def publisher(folder: Path) -> Publisher:
    return Publisher(folder / "releases", sample_signer(), sample_trust(), folder / "lead.json")


def test_what_the_index_of_releases_says_is_heeded(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, index = str(bright_study(tmp_path / "study")), str(tmp_path / "releases")
    package = Path(asked[1])
    lead = publisher(tmp_path)
    now = datetime.now(UTC)
    lead.publish(package, "released", "good", now)
    assert main([*asked, study, "--releases", index]) == 0
    said = capsys.readouterr().out
    assert "says lead" not in said and "index of releases" not in said
    lead.set_state("hippocampus", "1.0.0", "superseded", "there is a better one", now)
    assert main([*asked, study, "--releases", index]) == 0
    assert "is superseded" in capsys.readouterr().out
    report = dcmread(max(results(tmp_path), key=lambda folder: folder.stat().st_mtime_ns) / "report.dcm")
    assert any("is superseded" in str(element.value) for element in report.iterall() if element.VR == "UT")
    lead.set_state("hippocampus", "1.0.0", "withdrawn", "misses small ones", now)
    assert main([*asked, study, "--releases", index]) == 17
    assert "misses small ones" in capsys.readouterr().err and len(results(tmp_path)) == 2


def test_that_no_index_of_releases_was_consulted_is_in_every_result(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*asked, str(bright_study(tmp_path / "study"))]) == 0
    assert "Note: No index of releases was consulted" in capsys.readouterr().out
    (folder,) = results(tmp_path)
    assert "No index of releases" in json.loads((folder / "summary.json").read_text())["remarks"][0]
    report = dcmread(folder / "report.dcm")
    assert any("No index of releases" in str(element.value) for element in report.iterall() if element.VR == "UT")


def test_a_package_that_the_index_does_not_know_needs_a_word(
    asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study, index = str(bright_study(tmp_path / "study")), str(tmp_path / "releases")
    other = sample_package(tmp_path / "other", name="somebody_else")
    publisher(tmp_path).publish(other.path, "released", "good", datetime.now(UTC))
    assert main([*asked, study, "--releases", index]) == 17
    assert main([*asked, study, "--releases", index, "--allow-unknown"]) == 0
    assert "nobody has said that it may be used" in capsys.readouterr().out


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--help"]) == 0
    said = capsys.readouterr().out
    assert "Example" in said and "--memory-mb" in said and "research use only" in said
