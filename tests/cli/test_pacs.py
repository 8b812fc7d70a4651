"""`fedvoxel pacs`: what it says of a PACS that answers, and of ones that do not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.main import main
from tests.orthanc import CALLED, CALLING, PASSWORD, USER, Orthanc, free_port
from tests.volumes.scans import site_values

NOBODY = {"protocol": "dimse", "host": "127.0.0.1", "port": 1, "plaintext": True}


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, data_folder: Path) -> Iterator[Orthanc]:
    """Two patients: three and two instances."""
    studies = data_folder / "dicom_studies"
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as started:
        started.store(sorted((studies / "hippocrop" / "Study1").glob("*.dcm"))[:3])
        started.store(sorted((studies / "prostate3t").rglob("*.dcm"))[:2])
        yield started


@pytest.fixture
def described(orthanc: Orthanc, tmp_path: Path) -> dict[str, Any]:
    """The PACS as a site's file has it, over both protocols."""
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(0o600)
    titles = {"called_ae_title": CALLED, "calling_ae_title": CALLING, "plaintext": True}
    return {
        "radiology": {"protocol": "dimse", "host": "127.0.0.1", "port": orthanc.dimse_port, **titles},
        "web": {"protocol": "dicomweb", "url": orthanc.url, "username": USER, "password_file": "password"},
    }


def site_file(folder: Path, pacs: dict[str, Any]) -> str:
    path = folder / "fedvoxel_site.json"
    path.write_text(json.dumps({**site_values(), "pacs": pacs}))
    return str(path)


def test_both_answer(described: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = site_file(tmp_path, described)
    assert main(["pacs", "check", "--site", site]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in said] == ["ok       radiology: answers", "ok       web: answers"]
    assert "DIMSE, unencrypted" in said[0] and "DICOMweb" in said[1]
    assert main(["pacs", "check", "--site", site, "--pacs", "web", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["ready"] and list(shown["pacs"]) == ["web"]


@pytest.mark.parametrize(
    ("name", "changed", "code", "said"),
    [
        ("radiology", {"calling_ae_title": "NOBODY"}, 15, "calling_ae_title"),
        ("radiology", {"port": 0}, 15, "cannot be connected to"),
        ("web", {"username": "nobody"}, 15, "username and password_file"),
        ("web", {"password_file": "nowhere"}, 3, "password_file"),
        ("web", {"url": "http://pacs.example/dicom-web"}, 3, "expected https"),
        ("radiology", {"plaintext": False}, 3, "expected either tls or"),
        ("radiology", {"retrieve": "move"}, 3, "expected storage"),
    ],
)
def test_what_is_wrong_is_one_line(
    described: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    changed: dict[str, Any],
    code: int,
    said: str,
) -> None:
    changed = {key: value or free_port() if key == "port" else value for key, value in changed.items()}
    site = site_file(tmp_path, {name: described[name] | changed})
    assert main(["pacs", "check", "--site", site]) == code
    captured = capsys.readouterr()
    assert said in captured.err and len(captured.err.splitlines()) == 1
    assert PASSWORD not in captured.err + captured.out


def test_series_are_counted_and_nobody_is_named(
    described: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = site_file(tmp_path, described)
    for name in described:
        assert main(["pacs", "find", "--site", site, "--pacs", name, "--modality", "MR,CT", "--json"]) == 0
        counts = {"patients": 2, "studies": 2, "series": 2, "instances": 5}
        assert json.loads(capsys.readouterr().out) == {"schema_version": 1, "pacs": name, "modalities": {"MR": counts}}
    (tmp_path / "query.json").write_text(json.dumps({"PatientID": ["Prostate3T-03-0002"]}))
    command = ["pacs", "find", "--site", site, "--pacs", "radiology", "--query", str(tmp_path / "query.json")]
    assert main(command) == 0
    said = capsys.readouterr()
    assert "radiology: 1 series" in said.out and "Prostate3T" not in said.out + said.err
    assert main([*command, "--study-date", "19000101"]) == 0
    assert "radiology: 0 series" in capsys.readouterr().out


def test_a_query_that_is_none_shows_no_identifier(
    described: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = site_file(tmp_path, described)
    command = ["pacs", "find", "--site", site, "--pacs", "radiology", "--query", str(tmp_path / "query.json")]
    for query in (
        {"PatientID": "Doe*Jane"},
        {"PatientID": ["Doe\\Jane"]},
        {"PatientID": "DoeJane", "StudyDate": "2024"},
    ):
        (tmp_path / "query.json").write_text(json.dumps(query))
        assert main(command) == 3
        assert "Jane" not in capsys.readouterr().err
    assert main(["pacs", "find", "--site", site]) == 3
    assert "choose one with --pacs" in capsys.readouterr().err


def test_names_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = site_file(tmp_path, {})
    assert main(["pacs", "check", "--site", site]) == 3
    assert "describes no PACS" in capsys.readouterr().err
    assert main(["pacs", "find", "--site", site, "--pacs", "radiology"]) == 3
    assert "no PACS 'radiology'" in capsys.readouterr().err


def test_the_folder_of_a_review_is_not_stored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It holds every answer that was ever given: its export is what counts."""
    site = site_file(tmp_path, {"radiology": {**NOBODY, "calling_ae_title": "A", "called_ae_title": "B"}})
    study = tmp_path / "review-exam-1"
    (study / "readers" / "anna" / "case").mkdir(parents=True)
    (study / "readers" / "anna" / "case" / "segmentation-000009.dcm").write_bytes(b"superseded")
    (study / "study.json").write_text("{}")
    assert main(["pacs", "store", str(study), "--site", site]) == 3
    assert "call `fedvoxel review export`" in capsys.readouterr().err
