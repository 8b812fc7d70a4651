"""What is kept of a case is bound to the files that it was read from, whatever they are called."""

from pathlib import Path

import numpy as np
import pytest

from fedvoxel.review.desk import Desk
from fedvoxel.review.events import Visited
from fedvoxel.review.reading_folder import open_reading_folder
from fedvoxel.review.site_reading import open_site_cohort
from fedvoxel.review.study import open_study, settings_of
from fedvoxel.volumes.nifti_file import claimed_voxels
from tests.review.reading_sample import SHAPE, Page, said, write_reading
from tests.volumes.scans import csv_cohort, pairs_table, site_config, write_nifti

FIRST, SECOND = (f"case-{number:012x}" for number in range(2))


@pytest.mark.parametrize("file", ["image", "model", "manual", "unsure"])
def test_a_prepared_case_of_which_a_file_was_exchanged_is_refused_and_the_others_go_on(
    tmp_path: Path, file: str
) -> None:
    folder = write_reading(tmp_path / "prepared", cases=2)

    def page() -> Page:
        reading = open_reading_folder(folder)
        return Page(Desk(reading, open_study(tmp_path / "study", settings_of(reading, ("anna",), False, 0))))

    first = page()
    facts = first.visit(FIRST)
    body = {"visit": facts["visit"], "active_s": 1.0, "said": said(model="accept", manual="reject")}
    assert first.post(f"/api/cases/{FIRST}/answer", body).status_code == 200
    (tmp_path / "kept").write_bytes((folder / FIRST / f"{file}.nii.gz").read_bytes())
    (folder / FIRST / f"{file}.nii.gz").write_bytes((folder / SECOND / f"{file}.nii.gz").read_bytes())
    record = tmp_path / "study" / "readers" / "anna" / FIRST / "events" / "events.jsonl"
    before, second = record.read_bytes(), page()
    for what in ("visit", "answer"):
        answer = second.post(f"/api/cases/{FIRST}/{what}", body if what == "answer" else None)
        assert answer.status_code == 422 and "exchanged" in answer.json()["error"]
    assert record.read_bytes() == before
    assert second.visit(SECOND)["case"] == SECOND
    (folder / FIRST / f"{file}.nii.gz").write_bytes((tmp_path / "kept").read_bytes())
    assert page().visit(FIRST)["answered"]


def test_work_of_a_version_that_did_not_note_its_images_is_refused(tmp_path: Path) -> None:
    reading = open_reading_folder(write_reading(tmp_path / "prepared", cases=1))
    desk = Desk(reading, open_study(tmp_path / "study", settings_of(reading, ("anna",), False, 0)))
    record = desk.record("anna", FIRST)
    record.append(Visited(visit="0" * 16), record.read())
    answer = Page(desk).post(f"/api/cases/{FIRST}/visit")
    assert answer.status_code == 422 and "did not note which images" in answer.json()["error"]


@pytest.mark.parametrize("exchanged", ["image", "label"])
def test_a_sites_case_is_told_by_image_and_label(tmp_path: Path, exchanged: str) -> None:
    pairs_table(tmp_path, 1)
    (case,) = open_site_cohort(site_config(hippocampus=csv_cohort()), "hippocampus", tmp_path).cases
    before = case.load()
    assert case.load().read_from == before.read_from and case.claimed_voxels() == before.image.voxels.size
    (path,) = tmp_path.rglob(f"*{exchanged}*.nii.gz")
    stored = before.image.voxels if exchanged == "image" else before.labels["manual"]
    write_nifti(path, np.roll(stored, 1, axis=0).astype(np.int16), before.image.affine)
    assert case.load().read_from != before.read_from


def test_a_header_says_how_large_an_image_is_before_it_is_read(tmp_path: Path) -> None:
    reading = open_reading_folder(write_reading(tmp_path / "prepared", cases=1))
    assert reading.cases[0].claimed_voxels() == np.prod(SHAPE)
    (tmp_path / "none.nii").write_bytes(b"no scan")
    assert claimed_voxels(tmp_path / "none.nii") == claimed_voxels(tmp_path / "nowhere.nii") == 0
