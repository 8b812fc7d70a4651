"""A clinician follows docs/clinician.md, command by command, with a real Orthanc and a real browser.

Screenshots are kept in the folder that FEDVOXEL_ARTEFACTS names, else in pytest's own.
"""

import json
import os
import re
import shlex
import subprocess
import time
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom as hd
import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser
from pydicom import Dataset, dcmread

from fedvoxel.cli.main import main
from tests.cli.test_export import kit_of
from tests.cli.test_review import entered, running
from tests.evaluation.inference.command import crl_file, root_file
from tests.evaluation.inference.seg_places import places_in, places_of
from tests.export.package_sample import sample_package, sample_root
from tests.orthanc import CALLED, CALLING, Orthanc
from tests.review.browser import SIZE, Window, chromium
from tests.review.reading_sample import said
from tests.volumes.dicom_cases import affine_of
from tests.volumes.site_pipeline import store

from .made_up_study import NAMED, SHAPE, SPACING_MM, TRUTH, made_up_package, made_up_slices
from .networked import ROOT, documented
from .orthanc_viewer import Viewer, orthanc_with_viewer

PAGE = (ROOT / "docs" / "clinician.md").read_text(encoding="utf-8")
SITE = "--site clinic/local/fedvoxel_site.json --pacs radiology"
PREDICT = (
    "fedvoxel predict hippocampus-1.0.0.fvpkg --pacs radiology --query query.json "
    "--site clinic/local/fedvoxel_site.json --eight-bit"
)
LABELS = {1: "anterior hippocampus", 2: "posterior hippocampus"}
FOUND, ACCEPTED, CORRECTED, REPORT = (
    f"hippocampus 1.0.0 {what}, research use only"
    for what in ("segmentation", "segmentation, reader-1", "corrected, reader-1", "corrected report, reader-1")
)


@dataclass
class Clinic:
    """Is where the clinician works, with the folder and what else the page asks the hospital's IT for."""

    folder: Path
    releases: Path
    orthanc: Orthanc

    def follow(self, command: str, **other: str) -> int:
        """Calls a command of the page, with the releases where they are here and `other` words exchanged."""
        here = {"/share/releases": str(self.releases)} | {old.replace("_", "-"): new for old, new in other.items()}
        words = [here.get(word, word) for word in documented(command, "clinician.md")]
        return main(words[1:])

    def asks_for(self, **keys: str | list[str]) -> None:
        """Writes the query as the page shows it, with other keys."""
        (shown,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
        query = {key: value for key, value in json.loads(shown).items() if not keys or key == "Modality"}
        (self.folder / "query.json").write_text(json.dumps(query | keys))

    def held(self, description: str) -> Dataset:
        """The only instance of a series in the PACS."""
        for series in self.series():
            if series["MainDicomTags"].get("SeriesDescription") == description:
                (instance,) = series["Instances"]
                return dcmread(BytesIO(self.orthanc.request("GET", f"/instances/{instance}/file")))
        raise AssertionError(f"the PACS has no series {description}")

    def removes(self, folder: str) -> None:
        """Removes a patient's images as the page says."""
        subprocess.run(documented(f"rm -r {folder}", "clinician.md"), cwd=self.folder, check=True)
        assert not (self.folder / folder).exists()

    def modalities(self) -> list[str]:
        """Those of the series in the PACS."""
        return sorted(one["MainDicomTags"]["Modality"] for one in self.series())

    def series(self) -> list[dict[str, Any]]:
        """The series in the PACS."""
        return list(json.loads(self.orthanc.request("GET", "/series?expand")))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc_with_viewer(tmp_path_factory.mktemp("orthanc")) as running_one:
        yield running_one


@pytest.fixture
def artefacts(tmp_path: Path) -> Path:
    """Where screenshots are kept."""
    folder = Path(os.environ.get("FEDVOXEL_ARTEFACTS") or tmp_path / "artefacts") / "clinician"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def slices() -> list[Dataset]:
    return made_up_slices()


def keyless_folder(place: Path, orthanc: Orthanc) -> Path:
    """A clinician's folder as docs/hospital_it.md has it: no key of the consortium's, no cohort, a pseudonym key."""
    folder = place / "clinic"
    (folder / "startup").mkdir(parents=True)
    (folder / "local").mkdir()
    root_file(folder / "startup")
    crl_file(folder / "startup")
    titles = {"called_ae_title": CALLED, "calling_ae_title": CALLING, "plaintext": True, "timeout_s": 10}
    radiology = {"protocol": "dimse", "host": "127.0.0.1", "port": orthanc.dimse_port, **titles}
    described = {"schema_version": 1, "pseudonym_key": "0" * 64, "pacs": {"radiology": radiology}}
    (folder / "local" / "fedvoxel_site.json").write_text(json.dumps(described))
    return folder


@pytest.fixture
def clinic(started: Orthanc, slices: list[Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clinic:
    """The folder, a released package, and a PACS that has the study; and a terminal as the page begins one."""
    started.clear()
    started.store(sorted(store(tmp_path / "scanner", *slices).iterdir()))
    folder, releases = tmp_path / "clinic", tmp_path / "releases"
    when = {"begins": datetime.now(UTC) - timedelta(1), "ends": datetime.now(UTC) + timedelta(1)}
    lead = kit_of(tmp_path / "kits", sample_root().issue("lead@b.example", "lead", **when))
    keyless_folder(folder, started)
    package = str(made_up_package(tmp_path / "made").path)
    released = ["--sign", str(lead), "--reason", "reader study", "--state", "released"]
    assert main(["release", "publish", package, str(releases), *released]) == 0
    monkeypatch.chdir(folder)
    monkeypatch.setenv("FEDVOXEL_ROOT", documented("export FEDVOXEL_ROOT=clinic", "clinician.md")[1].split("=")[1])
    documented("export FEDVOXEL_RELEASES=/share/releases", "clinician.md")
    monkeypatch.setenv("FEDVOXEL_RELEASES", str(releases))
    return Clinic(folder, releases, started)


def frames_of(segmentation: Dataset, slices: list[Dataset]) -> list[tuple[int, str]]:
    """The slice that each frame lies on, and the label of its segment."""
    places = {tuple(np.round(np.array(one.ImagePositionPatient, float), 2)): k for k, one in enumerate(slices)}
    labels = {segment.SegmentNumber: segment.SegmentLabel for segment in segmentation.SegmentSequence}
    found = []
    for own in segmentation.PerFrameFunctionalGroupsSequence:
        position = tuple(np.round(np.array(own.PlanePositionSequence[0].ImagePositionPatient, float), 2))
        number = own.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        found.append((places[position], labels[number]))
    return found


def assert_shown(viewer: Viewer, frames: list[tuple[int, str]], truth: Mapping[str, NDArray[np.bool_]]) -> None:
    """Leafs through all frames, and holds each pixel that is drawn against the label map's."""
    for number, (index, label) in enumerate(frames):
        if number:
            viewer.leaf()
        assert truth[label][index].any() and viewer.draws(truth[label][index]), f"frame {number} is drawn otherwise"


def masks(codes: NDArray[np.generic]) -> dict[str, NDArray[np.bool_]]:
    """Where each structure is, (slice, row, column)."""
    return {label: codes == code for code, label in LABELS.items()}


def shoot(viewer: Viewer, frame: int, path: Path) -> None:
    """Leafs to a frame from the first, and keeps a picture of it."""
    viewer.page.reload()
    viewer.page.wait_for_selector("#dicomImage canvas")
    viewer.leaf(frame)
    viewer.page.screenshot(path=path)


def codes_in(segmentation: Dataset, slices: list[Dataset]) -> NDArray[np.uint8]:
    """The codes (slice, row, column) that a segmentation marks, by pydicom alone; its planes are the slices'."""
    planes = segmentation.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient
    assert np.allclose(np.array(planes, float), np.array(slices[0].ImageOrientationPatient, float))
    found, numbers = np.zeros(SHAPE, np.uint8), {label: code for code, label in LABELS.items()}
    for (index, label), frame in zip(frames_of(segmentation, slices), segmentation.pixel_array, strict=True):
        found[index][frame > 0] = numbers[label]
    return found


def codes_by_highdicom(segmentation: Dataset, slices: list[Dataset]) -> NDArray[np.generic]:
    """The same by highdicom, which has its own order of slices."""
    image = hd.get_volume_from_series(list(slices))
    read = hd.seg.Segmentation.from_dataset(segmentation).get_volume(combine_segments=True).match_geometry(image)
    forwards = np.allclose(image.affine[:3, 3], np.array(slices[0].ImagePositionPatient, float))
    return np.asarray(read.array[:: 1 if forwards else -1])


def codes_of_nifti(path: Path) -> NDArray[np.uint8]:
    """The codes (slice, row, column) of a label map, by nibabel alone."""
    image: Any = nibabel.load(path)
    voxels, found = np.asarray(image.dataobj), np.zeros(SHAPE, np.uint8)
    turn = np.linalg.inv(affine_of("coronal", SPACING_MM)) @ np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine
    for code in LABELS:
        places = nibabel.affines.apply_affine(turn, np.argwhere(voxels == code))
        assert np.allclose(places, np.rint(places), atol=1e-3)
        found[tuple(np.rint(places).astype(int).T)] = code
    return found


def volumes_in(report: Dataset) -> dict[str, float]:
    """The volume (mL) of each structure in a measurement report, by highdicom."""
    read: Any = hd.sr.Comprehensive3DSR.from_dataset(report)
    found = {}
    for group in read.content.get_volumetric_roi_measurement_groups():
        (volume,) = group.get_measurements()
        (label,) = [one for one in LABELS.values() if group.tracking_identifier.startswith(one)]
        found[label] = float(volume.value)
    return found


def correct_in_browser(browser: Browser, link: str, artefacts: Path) -> None:
    """Opens the case, paints a stroke beside the first structure on its own plane, and answers."""
    window = Window(browser.new_page(viewport=SIZE))  # type: ignore[arg-type]
    window.page.on("pageerror", lambda error: window.complaints.append(str(error)))
    window.page.goto(link)
    window.page.wait_for_selector("#continue:visible", timeout=60_000)
    window.page.screenshot(path=artefacts / "worklist.png")
    window.begin()
    window.key("h", "b")
    x, y = window.middle("coronal")
    window.drag((x - 20, y - 62), (x + 20, y - 70), (x + 60, y - 60))
    window.saved()
    window.key("c", "4")
    window.page.wait_for_selector("#save:enabled")
    window.page.mouse.move(x + 120, y + 60)
    window.page.screenshot(path=artefacts / "review.png")
    window.key("Control+Enter")
    window.page.wait_for_selector("#cases tr:has-text('Corrected')")
    window.page.screenshot(path=artefacts / "answered.png")
    assert window.complaints == []
    window.page.close()


def test_what_a_released_model_finds_is_seen_in_the_viewer(
    clinic: Clinic, slices: list[Dataset], browser: Browser, artefacts: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert clinic.follow("fedvoxel release list /share/releases") == 0
    assert clinic.follow("fedvoxel release fetch /share/releases hippocampus") == 0
    assert clinic.follow("fedvoxel export show hippocampus-1.0.0.fvpkg") == 0
    assert clinic.follow(f"fedvoxel pacs check {SITE}") == 0
    clinic.asks_for()
    capfd.readouterr()
    assert clinic.follow(PREDICT) == 0
    said = capfd.readouterr()
    (result,) = Path("predictions").iterdir()
    shown = re.sub(r"prediction-\w{12}", result.name, re.findall(r"```\n(study 1.*?)```", PAGE, re.DOTALL)[0])
    assert shown in said.out and not any(secret in said.out + said.err for secret in NAMED.values())

    storing = f"fedvoxel pacs store predictions/prediction-5f0c7a51e2d4 {SITE}"
    assert clinic.follow(storing, **{"predictions/prediction-5f0c7a51e2d4": str(result)}) == 0
    assert clinic.modalities() == ["MR", "SEG", "SR"]
    found = clinic.held(FOUND)
    for code, label in LABELS.items():
        assert places_in(found)[label] == places_of(slices, TRUTH, code)

    viewer, frames = Viewer(browser, clinic.orthanc), frames_of(found, slices)
    viewer.open(FOUND)
    assert_shown(viewer, frames, masks(TRUTH))
    shoot(viewer, len(frames) // 4, artefacts / "orthanc.png")
    viewer.explorer().screenshot(path=artefacts / "explorer.png")
    assert viewer.alerts == []
    viewer.close()


def test_a_correction_is_seen_in_the_viewer(
    clinic: Clinic, slices: list[Dataset], browser: Browser, artefacts: Path
) -> None:
    assert clinic.follow("fedvoxel release fetch /share/releases hippocampus") == 0
    clinic.asks_for()
    assert clinic.follow(f"fedvoxel pacs fetch {SITE} --query query.json --out exam-1") == 0
    review = documented("fedvoxel review hippocampus-1.0.0.fvpkg exam-1 --eight-bit", "clinician.md")
    with running(*review[2:], folder=clinic.folder) as links:
        correct_in_browser(browser, links[0]["link"], artefacts)
    assert clinic.follow("fedvoxel review export review-exam-1") == 0
    assert clinic.follow(f"fedvoxel pacs store review-exam-1/export {SITE}") == 0
    clinic.removes("exam-1")

    corrected = clinic.held(CORRECTED)
    codes = codes_in(corrected, slices)
    (label_map,) = Path("review-exam-1/export/corrected").iterdir()
    assert np.array_equal(codes, codes_of_nifti(label_map))
    assert np.array_equal(codes, codes_by_highdicom(corrected, slices))
    changed = codes != TRUTH
    assert changed.any() and set(codes[changed]) == {1}
    assert volumes_in(clinic.held(REPORT)) == {
        label: pytest.approx(np.sum(codes == code) * np.prod(SPACING_MM) / 1000, rel=1e-6)
        for code, label in LABELS.items()
    }
    (painted,) = set(np.argwhere(changed)[:, 0].tolist())  # the stroke's own slice, and no other
    viewer, frames = Viewer(browser, clinic.orthanc), frames_of(corrected, slices)
    viewer.open(CORRECTED)
    assert_shown(viewer, frames, masks(codes))
    shoot(viewer, frames.index((painted, LABELS[1])), artefacts / "orthanc_corrected.png")
    assert viewer.alerts == []
    viewer.close()


def answer_of(clinic: Clinic, exam: str, verdict: str) -> None:
    """Reviews an examination with the page's command, and answers its only case without a browser."""
    review = documented(f"fedvoxel review hippocampus-1.0.0.fvpkg {exam} --eight-bit", "clinician.md")
    with running(*review[2:], folder=clinic.folder) as links, entered(links[0]["link"]) as client:
        deadline = time.monotonic() + 60
        (case,) = client.get("/api/reading").json()["cases"]
        while case["waiting"] and time.monotonic() < deadline:
            time.sleep(0.1)
            (case,) = client.get("/api/reading").json()["cases"]
        visit = client.post(f"/api/cases/{case['case']}/visit").json()["visit"]
        body = {"visit": visit, "active_s": 1, "said": said(model=verdict)}
        assert client.post(f"/api/cases/{case['case']}/answer", json=body).status_code == 200


def results_of(clinic: Clinic, patient: str) -> list[str]:
    """The descriptions of the patient's series that are not of the scanner."""
    found = []
    for series in clinic.series():
        study = json.loads(clinic.orthanc.request("GET", f"/studies/{series['ParentStudy']}"))
        if study["PatientMainDicomTags"]["PatientID"] == patient and series["MainDicomTags"]["Modality"] != "MR":
            found.append(series["MainDicomTags"]["SeriesDescription"])
    return sorted(found)


def test_a_second_patient_gets_results_of_their_own(
    clinic: Clinic, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    second = {"PatientID": "4712", "PatientName": "Madeup^Other", "AccessionNumber": "A124"}
    uids = {"StudyInstanceUID": "2.25.71", "SeriesInstanceUID": "2.25.72"}
    clinic.orthanc.store(sorted(store(tmp_path / "second", *made_up_slices(**second, **uids)).iterdir()))
    assert clinic.follow("fedvoxel release fetch /share/releases hippocampus") == 0
    for exam, accession in (("exam-1", "A123"), ("exam-2", "A124")):
        clinic.asks_for(AccessionNumber=accession)
        assert clinic.follow(f"fedvoxel pacs fetch {SITE} --query query.json --out {exam}") == 0
        answer_of(clinic, exam, "accept")
        assert clinic.follow(f"fedvoxel review export review-{exam}") == 0
        assert clinic.follow(f"fedvoxel pacs store review-{exam}/export {SITE}") == 0
    accepted = [ACCEPTED.replace("segmentation", what) for what in ("report", "segmentation")]
    assert results_of(clinic, "4711") == accepted and results_of(clinic, "4712") == accepted
    folder = {"study/": "exam-2"}
    assert clinic.follow("fedvoxel predict hippocampus-1.0.0.fvpkg study/ --eight-bit", **folder) == 0
    clinic.removes("exam-1")
    (clinic.folder / "exam-2").rename(clinic.folder / "exam-1")  # who forgets to take another name
    capsys.readouterr()
    assert clinic.follow("fedvoxel review hippocampus-1.0.0.fvpkg exam-1 --eight-bit") == 19
    assert "with other settings" in capsys.readouterr().err


def test_what_is_rejected_after_it_was_stored_is_not_stored_again_and_said(
    clinic: Clinic, capsys: pytest.CaptureFixture[str]
) -> None:
    assert clinic.follow("fedvoxel release fetch /share/releases hippocampus") == 0
    clinic.asks_for()
    assert clinic.follow(f"fedvoxel pacs fetch {SITE} --query query.json --out exam-1") == 0
    export, storing = "fedvoxel review export review-exam-1", f"fedvoxel pacs store review-exam-1/export {SITE}"
    for verdict, code, warned in (("accept", 0, False), ("accept", 0, True), ("reject", 3, True)):
        answer_of(clinic, "exam-1", verdict)
        capsys.readouterr()
        assert clinic.follow(export) == 0
        assert ("if they were stored, the PACS keeps them" in capsys.readouterr().err) == warned
        assert clinic.follow(storing) == code
        told = capsys.readouterr().err
        assert ("if they were stored, the PACS keeps them" in told) == (warned and not code)
    assert clinic.modalities() == ["MR", "SEG", "SEG", "SR", "SR"]
    earlier = json.loads(Path("review-exam-1/export/exported.json").read_text())["earlier"]
    held = {
        one["MainDicomTags"]["SeriesInstanceUID"] for one in clinic.series() if one["MainDicomTags"]["Modality"] != "MR"
    }
    assert {uid for uids in earlier.values() for uid in uids} == held


def test_what_is_installed_is_what_the_project_offers() -> None:
    documented("python3 -m venv ~/fedvoxel", "clinician.md")
    words = documented('pip install -c constraints.txt ".[clinic,dicom,report]"', "clinician.md")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (ROOT / words[3]).is_file() and project["requires-python"].startswith(">=3.11")
    (extras,) = re.findall(r"\[(.*)\]", words[4])
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_orthanc_draws_no_frame_of_one_bit(clinic: Clinic, browser: Browser) -> None:
    """Why the page says --eight-bit: if this fails, Orthanc has learnt it and the page can be shorter."""
    assert clinic.follow("fedvoxel release fetch /share/releases hippocampus") == 0
    clinic.asks_for()
    words = documented(PREDICT, "clinician.md")[1:]
    assert main([*(word for word in words if word != "--eight-bit"), "--store", "radiology"]) == 0
    viewer = Viewer(browser, clinic.orthanc)
    viewer.open(FOUND)
    viewer.page.wait_for_timeout(500)
    assert any("does not support the decoding" in alert for alert in viewer.alerts)
    viewer.close()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"BodyPartExamined": "PROSTATE"}, "the header says PROSTATE"),
        ({"Modality": "CT"}, "none of the 1 series that the PACS finds is MR"),
    ],
)
def test_what_the_model_is_not_for_is_refused_and_nothing_is_stored(
    clinic: Clinic, capsys: pytest.CaptureFixture[str], changed: dict[str, str], said: str
) -> None:
    clinic.orthanc.clear()
    clinic.orthanc.store(sorted(store(clinic.folder / "other", *made_up_slices(**changed)).iterdir()))
    assert clinic.follow("fedvoxel release fetch /share/releases hippocampus") == 0
    clinic.asks_for(AccessionNumber="A123", Modality=[changed.get("Modality", "MR")])
    assert main([*documented(PREDICT, "clinician.md")[1:], "--store", "radiology"]) == 18
    assert said in capsys.readouterr().err
    assert not {"SEG", "SR"} & set(clinic.modalities()) and not any(Path("predictions").iterdir())


def test_a_withdrawn_model_is_refused(clinic: Clinic, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert clinic.follow("fedvoxel release fetch /share/releases hippocampus") == 0
    lead = ["--sign", str(tmp_path / "kits" / "lead@b.example"), "--reason", "misses small ones"]
    assert main(["release", "set", "withdrawn", str(clinic.releases), "hippocampus", "1.0.0", *lead]) == 0
    clinic.asks_for()
    assert clinic.follow(PREDICT) == 17
    assert "was withdrawn by lead@b.example" in capsys.readouterr().err


def test_a_query_that_names_nobody_fetches_nothing(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    out = f"fedvoxel pacs fetch {SITE} --query query.json --out exam-1"
    clinic.asks_for(StudyDate="20260302")
    assert clinic.follow(out) == 3 and not Path("exam-1").exists()
    clinic.asks_for(AccessionNumber="A999")
    assert clinic.follow(out) == 18 and "the PACS finds nothing" in capsys.readouterr().err
    clinic.asks_for()
    assert clinic.follow(out) == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in [Path("exam-1"), *Path("exam-1").rglob("*.dcm")])


@pytest.fixture
def real(started: Orthanc, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A PACS with three real studies, and the command line but for which is asked for."""
    started.clear()
    for name in ("hippocrop/Study1", "prostate3t", "brain_tumour_siemens_study3"):
        started.store(sorted((data_folder / "dicom_studies" / name).rglob("*.dcm")))
    monkeypatch.chdir(tmp_path)
    root = ["--root", str(keyless_folder(tmp_path, started))]
    package = str(sample_package(tmp_path).path)
    return [package if word.endswith(".fvpkg") else word for word in shlex.split(PREDICT)[1:]] + root


@pytest.mark.parametrize(
    ("patient", "more", "code", "said"),
    [
        ("PGBM-002", [], 0, "names no body part of the standard"),
        ("Prostate3T-03-0002", [], 18, "made for HEAD or BRAIN, and the header says PROSTATE"),
        ("PGBM-003", [], 18, "several series fit the model: 1: MR, 22 slices"),
        ("PGBM-003", ["--series", "1"], 0, "Image of 192 x 220 x 143 mm; the model was made for 20 to 70 mm"),
    ],
)
def test_real_studies_are_predicted_remarked_or_refused(
    started: Orthanc,
    real: list[str],
    capsys: pytest.CaptureFixture[str],
    patient: str,
    more: list[str],
    code: int,
    said: str,
) -> None:
    Path("query.json").write_text(json.dumps({"PatientID": patient}))
    assert main([*real, "--store", "radiology", *more]) == code
    shown = capsys.readouterr()
    assert said in shown.out + shown.err and patient not in shown.out + shown.err
    series = json.loads(started.request("GET", "/series?expand"))
    made = [one for one in series if one["MainDicomTags"]["Modality"] in ("SEG", "SR")]
    assert len(made) == (0 if code else 2)
    for one in made:
        (study,) = [json.loads(started.request("GET", f"/studies/{one['ParentStudy']}"))]
        assert study["PatientMainDicomTags"]["PatientID"] == patient


def test_every_message_of_the_page_is_one_of_the_programs() -> None:
    table = PAGE.split("| the line says |")[1].split("\n\n")[0]
    messages = [text for line in table.splitlines()[2:] for text in re.findall(r"`([^`]+)`", line.split("|")[1])]
    sources = "".join(path.read_text() for path in (ROOT / "app_custom" / "fedvoxel").rglob("*.py"))
    sources = re.sub(r'"\n\s*f?"', "", sources)  # one text over two lines
    assert len(messages) > 15
    assert [text for text in messages if text not in sources] == []


def test_every_command_of_the_page_is_one_of_the_programs(capsys: pytest.CaptureFixture[str]) -> None:
    lines = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).splitlines()
    commands = [shlex.split(line)[1:] for line in lines if line.startswith("fedvoxel ")]
    assert len(commands) > 9
    for words in commands:
        named = words[:2] if words[0] in ("release", "export", "pacs") else words[:1]
        options = [word for word in words if word.startswith("--")]
        assert main([*named, *(["start"] if named == ["review"] and words[1] != "export" else []), "--help"]) == 0
        help_text = capsys.readouterr().out
        assert [option for option in options if option not in help_text] == [], words
