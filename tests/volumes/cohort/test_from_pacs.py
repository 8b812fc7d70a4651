"""A cohort from a PACS: the same as from a folder, pulled once, continued where it was cut off, never half a study."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from fedvoxel.dicom.faults import dicom_error
from fedvoxel.dicom.incoming import IncomingStore
from fedvoxel.dicom.query import FoundSeries, SeriesQuery
from fedvoxel.errors import CohortError, DicomError
from fedvoxel.volumes.cohort import build as building
from fedvoxel.volumes.cohort.build import BuildReport, build_cohort
from fedvoxel.volumes.cohort.records import BuildProgress
from fedvoxel.volumes.exclusions import Exclusions
from tests.orthanc import CALLED, CALLING, PASSWORD, USER, Orthanc
from tests.volumes.cohort.studies import cohort_values, generated_study, site_of

QUERY = {"pacs": "archive", "query": {"ModalitiesInStudy": ["MR"]}}
WEB = {"protocol": "dicomweb", "url": "http://127.0.0.1:1"}
STUDIES = 3


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source") / "dicom"
    for number in range(STUDIES):
        generated_study(folder, number)
    return folder


@pytest.fixture(scope="module")
def from_folder(source: Path) -> BuildReport:
    return build_cohort(site_of(cohort_values({"folder": str(source)})), "main", source.parent, 1)


@dataclass
class Archive:
    """Is a PACS in this process: what it has, what it fails at, and what was asked of it."""

    folder: Path
    broken: dict[str, Callable[[], DicomError]] = field(default_factory=dict)
    pulled: list[str] = field(default_factory=list)

    def series(self) -> dict[FoundSeries, Path]:
        found = {}
        for folder in sorted(self.folder.iterdir()):
            files = sorted(folder.iterdir())
            one = dcmread(files[0], stop_before_pixels=True)
            uids = (one.StudyInstanceUID, one.SeriesInstanceUID)
            found[FoundSeries(one.PatientID, *uids, one.Modality, len(files))] = folder
        return found

    def find(self, query: SeriesQuery) -> tuple[FoundSeries, ...]:
        return tuple(self.series())

    def fetch(self, found: FoundSeries, store: IncomingStore) -> None:
        folder = self.series()[found]
        if folder.name in self.broken:
            raise self.broken[folder.name]()
        if not store.is_complete(found):
            self.pulled.append(folder.name)
            shutil.copytree(folder, store.series_folder(found), dirs_exist_ok=True)


@pytest.fixture
def archive(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    shutil.copytree(source, tmp_path / "archive")
    made = Archive(tmp_path / "archive")
    monkeypatch.setattr(building, "open_pacs", lambda config, base: made)
    return made


def build(base: Path, **options: Any) -> tuple[BuildReport, BuildProgress]:
    """Builds and returns the last that was told of the progress."""
    seen = [BuildProgress()]
    site = site_of(cohort_values(options.pop("query", QUERY)), pacs={"archive": options.pop("pacs", WEB)})
    report = build_cohort(site, "main", base, 1, on_progress=lambda now: seen.append(replace(now)), **options)
    return report, seen[-1]


def test_it_is_the_cohort_of_the_folder(from_folder: BuildReport, archive: Archive, tmp_path: Path) -> None:
    report, last = build(tmp_path)
    assert report.manifest == from_folder.manifest and report.built == STUDIES
    assert last.pulled == (2 * STUDIES, 2 * STUDIES)
    assert not list((tmp_path / "built.incoming").iterdir())
    assert {origin.patient_id for origin in report.origins.values()} == {f"PID-{i:04d}" for i in range(STUDIES)}


def test_what_is_built_is_not_pulled_again(from_folder: BuildReport, archive: Archive, tmp_path: Path) -> None:
    build(tmp_path)
    archive.pulled.clear()
    report, last = build(tmp_path)
    assert (report.reused, archive.pulled, last.pulled) == (STUDIES, [], (0, 0))
    assert report.manifest == from_folder.manifest
    victim = next((tmp_path / "built" / "labels").iterdir())
    victim.unlink()
    report, last = build(tmp_path)
    assert (report.built, report.reused, last.pulled) == (1, STUDIES - 1, (2, 2))
    assert report.manifest == from_folder.manifest


def test_nothing_is_pulled_of_a_patient_who_is_out(archive: Archive, tmp_path: Path) -> None:
    local = tmp_path / "kit" / "local"
    local.mkdir(parents=True)
    site = site_of(cohort_values(QUERY), pacs={"archive": WEB})
    Exclusions(site, local).exclude([site.pseudonym_of("PID-0000")])
    report, last = build(local)
    assert report.built == STUDIES - 1 and last.pulled == (2 * (STUDIES - 1), 2 * (STUDIES - 1))
    assert not {"image0", "label0"} & set(archive.pulled)


def test_a_study_that_grew_is_looked_at_again_and_a_vanished_one_leaves(archive: Archive, tmp_path: Path) -> None:
    build(tmp_path)
    archive.pulled.clear()
    shutil.rmtree(archive.folder / "label0")
    shutil.rmtree(archive.folder / "image1")
    report, _ = build(tmp_path)
    assert report.refused_per_reason == {"missing_label": 1} and (report.reused, report.dropped) == (1, 1)
    assert archive.pulled == ["image0"]


@pytest.mark.parametrize("broken", ["image1", pytest.param("label1", marks=pytest.mark.slow)])
def test_a_study_that_is_cut_off_is_refused_and_tried_again(
    from_folder: BuildReport, archive: Archive, tmp_path: Path, broken: str
) -> None:
    archive.broken[broken] = lambda: dicom_error("pacs_cut_off", "3 of 9 instances came")
    report, _ = build(tmp_path)
    assert report.built == STUDIES - 1 and report.refused_per_reason == {"pacs_cut_off": 1}
    assert report.manifest.refused[0].patient == site_of({**cohort_values({"folder": "x"})}).pseudonym_of("PID-0001")
    archive.broken.clear()
    report, _ = build(tmp_path)
    assert (report.built, report.reused) == (1, STUDIES - 1) and report.manifest == from_folder.manifest


@pytest.mark.parametrize("reason", ["pacs_unreachable", "pacs_credentials", "incoming_disk"])
def test_a_pacs_that_is_gone_ends_the_build_and_changes_nothing(archive: Archive, tmp_path: Path, reason: Any) -> None:
    archive.broken["image2"] = lambda: dicom_error(reason, "no answer")
    with pytest.raises(DicomError) as caught:
        build(tmp_path)
    assert caught.value.reason == reason
    assert not (tmp_path / "built" / "manifest.json").exists()


def test_what_nobody_asks_for_any_more_does_not_stay(archive: Archive, tmp_path: Path) -> None:
    stale = tmp_path / "built.incoming" / ("0" * 40)
    stale.mkdir(parents=True)
    (stale / "1.dcm").write_bytes(b"a patient")
    (tmp_path / "built.incoming" / ".part-1").write_bytes(b"a patient")
    build(tmp_path)
    assert not list((tmp_path / "built.incoming").iterdir())


def test_a_query_that_finds_no_image(archive: Archive, tmp_path: Path) -> None:
    for folder in archive.folder.glob("image*"):
        shutil.rmtree(folder)
    with pytest.raises(CohortError, match=r"the PACS has no MR series .* nothing was changed"):
        build(tmp_path)


@pytest.fixture(scope="module")
def orthanc(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        running.store(sorted(source.glob("*/*")))
        yield running


@pytest.mark.parametrize("door", ["dimse", "dicomweb"])
def test_a_real_pacs_gives_the_cohort_of_the_folder(
    from_folder: BuildReport, orthanc: Orthanc, tmp_path: Path, door: str
) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(0o600)
    web = {"protocol": "dicomweb", "url": orthanc.url, "username": USER, "password_file": "password"}
    titles = {"called_ae_title": CALLED, "calling_ae_title": CALLING}
    wire = {"protocol": "dimse", "host": "127.0.0.1", "port": orthanc.dimse_port, "plaintext": True, **titles}
    pacs = (web if door == "dicomweb" else wire) | {"limits": {"free_gib": 0}}
    query = {"pacs": "archive", "query": {"SeriesDescription": "T2*"}, "label_query": {"Modality": ["SEG"]}}
    report, last = build(tmp_path, query=query, pacs=pacs)
    assert report.manifest == from_folder.manifest and last.pulled == (2 * STUDIES, 2 * STUDIES)
    report, last = build(tmp_path, query=query, pacs=pacs)
    assert report.reused == STUDIES and last.pulled == (0, 0)
