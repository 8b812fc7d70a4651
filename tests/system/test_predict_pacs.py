"""From a real PACS and back to it: a query file names the study, and what was found lies beside it, confirmed."""

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from fedvoxel.cli.main import main
from tests.evaluation.inference.bright_studies import bright_slices, levels
from tests.evaluation.inference.command import RANGES, root_file, site_file
from tests.evaluation.inference.seg_places import places_in, places_of
from tests.export.package_sample import sample_package
from tests.orthanc import Orthanc
from tests.piped_input import piped
from tests.volumes.site_pipeline import store

NAMED = {"PatientName": "Doe^Jane", "PatientID": "4711", "AccessionNumber": "ACC99"}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture
def slices() -> list[Dataset]:
    return bright_slices("twice oblique", levels(), **NAMED)


@pytest.fixture
def orthanc(started: Orthanc, slices: list[Dataset], tmp_path: Path) -> Orthanc:
    """A PACS with the study, and one of somebody else."""
    started.clear()
    others = bright_slices("axial", levels(), PatientID="OTHER", AccessionNumber="ACC1")
    for name, made in (("here", slices), ("there", others)):
        started.store(sorted(store(tmp_path / name, *made).iterdir()))
    return started


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    package = sample_package(tmp_path, input=RANGES)
    return ["predict", str(package.path), "--root", str(root_file(tmp_path)), "--out", str(tmp_path / "out")]


def query(folder: Path, **keys: Any) -> str:
    path = folder / "query.json"
    path.write_text(json.dumps(keys))
    return str(path)


def held(orthanc: Orthanc, modality: str) -> list[Dataset]:
    """The instances of a modality that the PACS has."""
    found = []
    for series in json.loads(orthanc.request("GET", "/series?expand")):
        if series["MainDicomTags"]["Modality"] == modality:
            for instance in series["Instances"]:
                found.append(dcmread(BytesIO(orthanc.request("GET", f"/instances/{instance}/file"))))
    return found


@pytest.mark.parametrize("door", ["dimse", "web"])
@pytest.mark.parametrize("by", ["AccessionNumber", "StudyInstanceUID"])
def test_a_study_goes_from_the_pacs_and_its_results_back(
    orthanc: Orthanc,
    slices: list[Dataset],
    asked: list[str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    door: str,
    by: str,
) -> None:
    site = ["--site", str(site_file(tmp_path, orthanc)), "--pacs", door, "--store", door]
    key = query(tmp_path, **{by: str(slices[0][by].value)})
    assert main([*asked, *site, "--query", key]) == 0
    said = capfd.readouterr()
    assert f"Stored at {door}, which lists every object" in said.out
    assert not any(secret in said.out + said.err for secret in (*NAMED.values(), slices[0].StudyInstanceUID))
    (segmentation,), (report,) = held(orthanc, "SEG"), held(orthanc, "SR")
    for made in (segmentation, report):
        assert made.PatientID == "4711" and made.StudyInstanceUID == slices[0].StudyInstanceUID
    for code, label in ((1, "anterior hippocampus"), (2, "posterior hippocampus")):
        assert places_in(segmentation)[label] == places_of(slices, levels(), code)
    assert [path.name[:11] for path in (tmp_path / "out").iterdir()] == ["prediction-"]  # nothing that was pulled


def test_identifiers_come_by_standard_input_too(orthanc: Orthanc, asked: list[str], tmp_path: Path) -> None:
    site = ["--site", str(site_file(tmp_path, orthanc)), "--pacs", "web"]
    with piped(json.dumps({"PatientID": "4711"})):
        assert main([*asked, *site, "--query", "-"]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.parametrize(
    ("keys", "code", "said"),
    [
        ({"StudyDate": "20240101"}, 3, "expected a query with StudyInstanceUID"),
        ({"PatientID": "NOBODY"}, 18, "the PACS finds nothing"),
        ({"PatientID": ["4711", "OTHER"]}, 18, "2 patients"),
        ({"PatientID": "47*"}, 3, "without wildcards"),
    ],
)
def test_a_query_that_is_no_study_is_refused(
    orthanc: Orthanc,
    asked: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    keys: dict[str, Any],
    code: int,
    said: str,
) -> None:
    site = ["--site", str(site_file(tmp_path, orthanc)), "--pacs", "web"]
    assert main([*asked, *site, "--query", query(tmp_path, **keys)]) == code
    shown = capsys.readouterr().err
    assert said in shown and "NOBODY" not in shown and "4711" not in shown
    assert not list((tmp_path / "out").glob("*"))


def test_what_a_pacs_refuses_stays_on_the_disk_and_can_be_stored_later(
    orthanc: Orthanc, asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refusing = site_file(tmp_path, orthanc, calling_ae_title="NOBODY")
    study = str(tmp_path / "here")
    assert main([*asked, study, "--site", str(refusing), "--store", "dimse"]) == 15
    said = capsys.readouterr()
    assert "stay on the disk" in said.err and "fedvoxel pacs store" in said.err
    assert said.err.count("error: ") == 1 and said.err.splitlines()[-1].startswith("error: ")
    assert "Stored" not in said.out
    (folder,) = (tmp_path / "out").iterdir()
    assert held(orthanc, "SEG") == []
    for _ in range(2):  # the second time is harmless
        assert main(["pacs", "store", str(folder), "--site", str(refusing), "--pacs", "web"]) == 0
    assert "lists every one" in capsys.readouterr().out
    assert len(held(orthanc, "SEG")) == len(held(orthanc, "SR")) == 1


def move_to_another_patient(orthanc: Orthanc, slices: list[Dataset], folder: Path) -> None:
    """Does what a PACS does when a patient is merged: the study gets another number."""
    for one in slices:
        one.PatientID = "MERGED"
    orthanc.clear()
    orthanc.store(sorted(store(folder, *slices).iterdir()))


def test_results_of_a_patient_who_was_merged_meanwhile_are_not_stored(
    orthanc: Orthanc, slices: list[Dataset], asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    move_to_another_patient(orthanc, slices, tmp_path / "merged")
    site = ["--site", str(site_file(tmp_path, orthanc))]
    assert main([*asked, str(tmp_path / "here"), *site, "--store", "web"]) == 15
    said = capsys.readouterr()
    assert "another PatientID than the objects; nothing was sent: fetch the study" in said.err
    assert "stay on the disk" in said.err and "pacs store" not in said.err and "Stored" not in said.out
    assert not any(secret in said.err for secret in ("4711", "MERGED", slices[0].StudyInstanceUID))
    (folder,) = (tmp_path / "out").iterdir()
    assert main(["pacs", "store", str(folder), *site, "--pacs", "dimse", "--new-study"]) == 15
    assert held(orthanc, "SEG") == held(orthanc, "SR") == []


def test_another_archive_takes_a_study_that_is_new_to_it_where_that_was_said(
    orthanc: Orthanc, asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orthanc.clear()
    site = ["--site", str(site_file(tmp_path, orthanc))]
    assert main([*asked, str(tmp_path / "here"), *site, "--store", "web"]) == 15
    assert "does not know 1 of" in capsys.readouterr().err and held(orthanc, "SEG") == []
    assert main([*asked, str(tmp_path / "here"), *site, "--store", "web", "--new-study"]) == 0
    assert len(held(orthanc, "SEG")) == 1


def test_only_results_are_stored_unless_others_are_asked_for(
    orthanc: Orthanc, asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*asked, str(tmp_path / "here")]) == 0
    (folder,) = (tmp_path / "out").iterdir()
    image = dcmread(sorted((tmp_path / "here").iterdir())[0])
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    image.save_as(folder / "image.dcm")
    command = ["pacs", "store", str(folder), "--site", str(site_file(tmp_path, orthanc)), "--pacs", "web"]
    before = len(held(orthanc, "MR"))
    capsys.readouterr()
    assert main(command) == 3
    said = capsys.readouterr().err
    assert "To web: 3 objects (1 MR, 1 SEG, 1 SR); studies: 1, patients: 1" in said
    assert "1 of 3 objects are no segmentation or report" in said and held(orthanc, "SEG") == []
    assert main([*command, "--others"]) == 0
    assert len(held(orthanc, "MR")) == before + 1 and len(held(orthanc, "SEG")) == 1


def test_a_folder_without_results_is_not_stored(
    orthanc: Orthanc, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    site = str(site_file(tmp_path, orthanc))
    assert main(["pacs", "store", str(tmp_path / "empty"), "--site", site, "--pacs", "web"]) == 3
    assert "without" in capsys.readouterr().err
