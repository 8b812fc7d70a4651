"""A cohort built from DICOM, shown and reported: by the manifest's own names, facts, refusals and hashes."""

from pathlib import Path

import pytest

from fedvoxel.evaluation.cohorts.answers import HospitalAnswers
from fedvoxel.evaluation.cohorts.case_record import read_records
from fedvoxel.evaluation.cohorts.contact_sheet import make_contact_sheet, write_contact_sheet
from fedvoxel.evaluation.cohorts.datasheet import Datasheet, make_datasheet
from fedvoxel.evaluation.cohorts.datasheet_page import render_datasheet
from fedvoxel.volumes.cohort.build import build_cohort
from fedvoxel.volumes.cohort.manifest import read_manifest
from fedvoxel.volumes.site import SiteConfig
from tests.volumes.cohort.studies import SECRET, cohort_values, generated_study, site_of

SITE = site_of(cohort_values({"folder": "dicom"}))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site's folder with a built cohort of two patients, and a third that has no label."""
    folder = tmp_path_factory.mktemp("site")
    for number in range(3):
        generated_study(folder / "dicom", number, labelled=number < 2)
    build_cohort(SITE, "main", folder, 1)
    return folder


def datasheet(site: SiteConfig, base: Path, minimum: int) -> Datasheet:
    records = read_records(site, "main", base)
    return make_datasheet(site.cohort("main"), "main", base, records, minimum, HospitalAnswers())


def test_it_is_shown_under_the_manifests_names_with_its_sidecars_and_refusals(base: Path, tmp_path: Path) -> None:
    manifest = read_manifest(base / "built")
    sheet = make_contact_sheet(SITE, "main", base, tmp_path / "out")
    assert [card.case for card in sheet.cards] == [entry.case for entry in manifest.cases]
    assert [card.patient for card in sheet.cards] == [entry.patient for entry in manifest.cases]
    assert {card.facts["BodyPartExamined"] for card in sheet.cards} == {"PROSTATE"}
    assert [(refusal.case, refusal.reason) for refusal in sheet.refused] == [
        (entry.case, "missing_label") for entry in manifest.refused
    ]
    page = write_contact_sheet(sheet, tmp_path / "out").page.read_text()
    assert manifest.refused[0].case in page
    assert "PID-" not in page and SECRET not in page


def test_its_datasheet_has_the_manifests_hashes_and_the_policy(base: Path) -> None:
    manifest = read_manifest(base / "built")
    sheet = datasheet(SITE, base, 2)
    assert sheet.hashes is not None and sheet.refused is not None and sheet.deidentification is not None
    assert sheet.hashes.cohort_sha256 == manifest.cohort_sha256
    assert sheet.hashes.settings_sha256 == manifest.settings_sha256
    assert sheet.refused.told == "few"
    assert sheet.deidentification.project == "prostates"
    page = render_datasheet(sheet)
    assert "113107" in page and manifest.cohort_sha256 in page
    assert "case-" not in page and "missing_label" not in page


def test_a_file_changed_after_the_build_is_refused_not_shown(base: Path, tmp_path: Path) -> None:
    first, second = read_manifest(base / "built").cases
    image = base / "built" / "images" / f"{first.case}.nii.gz"
    original = image.read_bytes()
    image.write_bytes((base / "built" / "images" / f"{second.case}.nii.gz").read_bytes())
    try:
        sheet = make_contact_sheet(SITE, "main", base, tmp_path / "out")
    finally:
        image.write_bytes(original)
    assert [card.case for card in sheet.cards] == [second.case]
    assert {refusal.reason for refusal in sheet.refused} == {"changed_file", "missing_label"}
