"""The contact sheet: what it shows, what it never shows, who may read it, and that a stopped one goes on."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedvoxel.errors import CohortError
from fedvoxel.evaluation.cohorts import drawing
from fedvoxel.evaluation.cohorts.contact_sheet import (
    ContactSheet,
    Selection,
    make_contact_sheet,
    write_contact_sheet,
)
from fedvoxel.evaluation.cohorts.sheet_page import render_sheet
from fedvoxel.volumes.refusal import Refusal
from fedvoxel.volumes.site import SiteConfig
from tests.evaluation.cohorts.cohort_folders import HOSTILE, NAME, rewrite_image, rewrite_label, site_of
from tests.volumes.scans import csv_cohort, site_config

SCANNER = {"Modality": "MR", "Manufacturer": "Siemens", "MagneticFieldStrength": 3, "PatientAge": "045Y"}


def sheet_of(site: SiteConfig, base: Path, selection: Selection | None = None) -> ContactSheet:
    return make_contact_sheet(site, "hippocampus", base, base / "out", selection)


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}


# ------------------------------------------------------------------ what is shown


def test_each_case_has_a_card_and_the_refused_their_remedy(tmp_path: Path) -> None:
    site = site_of(tmp_path, 6, **SCANNER)
    (tmp_path / f"{NAME}-2_image.nii.gz").write_bytes(b"broken")
    sheet = sheet_of(site, tmp_path)
    assert len(sheet.cards) == 5
    assert [refusal.reason for refusal in sheet.refused] == ["unreadable"]
    assert [card.case for card in sheet.cards] == sorted(card.case for card in sheet.cards)
    card = sheet.cards[0]
    assert [(mark.name, mark.voxels) for mark in card.marks] == [("anterior", 27), ("posterior", 18)]
    assert card.facts == {"Modality": "MR", "Manufacturer": "Siemens", "MagneticFieldStrength": 3.0, "PatientAge": 45.0}
    page = render_sheet(sheet)
    assert "export the case again as NIfTI" in page
    assert "they stay in the hospital" in page.lower()
    assert all(card.case in page for card in sheet.cards)
    assert all(word in page for word in ("45 years", "3 T", "Siemens", "9 × 11 × 7"))


def test_a_split_and_a_number_of_cases_can_be_chosen(tmp_path: Path) -> None:
    site = site_of(tmp_path, 12)
    training = sheet_of(site, tmp_path, Selection("training"))
    assert {card.split for card in training.cards} == {"training"}
    assert 0 < len(training.cards) < 12
    assert len(sheet_of(site, tmp_path, Selection(cases=2)).cards) == 2
    with pytest.raises(CohortError, match="no case to show"):
        make_contact_sheet(site_config(hippocampus=csv_cohort(split={"test": 1.0, "validation": 0.0})), "hippocampus",
                           tmp_path, tmp_path / "out", Selection("training"))  # fmt: skip


def test_what_is_odd_is_said(tmp_path: Path) -> None:
    site = site_of(tmp_path, 12)
    rewrite_image(tmp_path, 3, seed=4)
    rewrite_image(tmp_path, 5, seed=5, scale=1000.0)
    rewrite_label(tmp_path, 6, 0, 7)
    sheet = sheet_of(site, tmp_path)
    said = {number: " | ".join(sheet.cautions[site.pseudonym_of(f"{NAME}-{number}")]) for number in (1, 3, 4, 5, 6)}
    assert said[1] == ""
    assert "same image as " + site.pseudonym_of(f"{NAME}-4") in said[3].replace("The same", "same")
    assert "counted more than once" in said[4]
    assert "Intensities of another scale" in said[5]
    assert "anterior touches the scan's border (left, back, bottom" in said[6]
    assert "anterior is unusually large" in said[6]
    assert "posterior marks nothing here" in said[6]


def test_what_most_cases_do_is_no_caution_but_a_note(tmp_path: Path) -> None:
    site = site_of(tmp_path, 5)
    for number in range(5):
        rewrite_label(tmp_path, number, 0, 3)
    sheet = sheet_of(site, tmp_path)
    assert any("anterior touches the bottom border of the scan in 5 of 5 cases" in note for note in sheet.notes)
    assert not any("border" in said for found in sheet.cautions.values() for said in found)


def test_pictures_are_paged_and_old_pages_go(tmp_path: Path) -> None:
    site = site_of(tmp_path, 17)
    folder = tmp_path / "out"
    paths = write_contact_sheet(sheet_of(site, tmp_path), folder)
    assert [path.name for path in paths.pictures] == ["contact_sheet-01.png", "contact_sheet-02.png"]
    colours = np.asarray(Image.open(io.BytesIO(paths.pictures[0].read_bytes())).convert("RGB")).reshape(-1, 3)
    blue = np.abs(colours.astype(int) - (0x56, 0xB4, 0xE9)).sum(axis=1) < 24
    assert blue.sum() > 500
    write_contact_sheet(sheet_of(site, tmp_path, Selection(cases=3)), folder)
    assert [path.name for path in folder.glob("*.png")] == ["contact_sheet-01.png"]


# ------------------------------------------------------------------ what is never shown


def test_no_name_and_no_path_is_in_what_is_written(tmp_path: Path) -> None:
    site = site_of(tmp_path, 5, **SCANNER, InstitutionName=NAME, SeriesDescription=NAME)
    (tmp_path / f"{NAME}-1_label.nii.gz").unlink()
    write_contact_sheet(sheet_of(site, tmp_path), tmp_path / "out")
    written = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(written) == 6
    for path in written:
        content = path.read_bytes()
        assert NAME.encode() not in content
        assert str(tmp_path).encode() not in content
        assert NAME not in path.name


def test_only_the_owner_may_read_them(tmp_path: Path) -> None:
    write_contact_sheet(sheet_of(site_of(tmp_path, 5), tmp_path), tmp_path / "out")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    folders = {stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in ("", "cards")}
    assert (modes, folders) == ({0o600}, {0o700})


def test_a_folder_that_others_may_enter_is_refused_unless_it_is_empty(tmp_path: Path) -> None:
    site = site_of(tmp_path, 5)
    (tmp_path / "out").mkdir(mode=0o755)
    sheet_of(site, tmp_path)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700
    (tmp_path / "out").chmod(0o750)
    with pytest.raises(CohortError, match="chmod 700"):
        sheet_of(site, tmp_path)


def hostile_sheet(sheet: ContactSheet) -> ContactSheet:
    """The sheet as it would be if nothing had been checked before the page."""
    cards = [card.model_copy(update={"facts": {"Manufacturer": HOSTILE}, "split": HOSTILE}) for card in sheet.cards]
    marks = [card.model_copy(update={"marks": (card.marks[0].model_copy(update={"name": HOSTILE}),)}) for card in cards]
    refused = (Refusal("case-0", "unreadable", HOSTILE),)
    cautions = {card.case: (HOSTILE,) for card in cards}
    return ContactSheet(HOSTILE, (HOSTILE,), tuple(marks), cautions, (HOSTILE,), refused, 9)


def test_hostile_text_is_escaped_and_nothing_outside_is_asked_for(tmp_path: Path) -> None:
    page = render_sheet(hostile_sheet(sheet_of(site_of(tmp_path, 2), tmp_path)))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert re.findall(r"""(?:src|href)=["'](?!#|data:image/webp;base64,)""", page) == []
    assert "http:" not in page and "https:" not in page
    assert " style=" not in page and " onclick=" not in page


def test_the_policy_names_the_hash_of_style_and_script(tmp_path: Path) -> None:
    page = render_sheet(sheet_of(site_of(tmp_path, 2), tmp_path))
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src 'none'; img-src data:; ")
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


# ------------------------------------------------------------------ going on


def test_what_has_not_changed_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = site_of(tmp_path, 4, **SCANNER)
    first = sheet_of(site, tmp_path)
    cards = tmp_path / "out" / "cards"
    before = times(cards)
    assert sheet_of(site, tmp_path) == first
    assert times(cards) == before
    rewrite_image(tmp_path, 1, seed=77)
    (tmp_path / f"{NAME}-2_image.json").write_text(json.dumps({"Modality": "CT"}))
    (cards / f"{site.pseudonym_of(f'{NAME}-3')}.json").write_text("half a card")
    sheet_of(site, tmp_path)
    again = {name for name, time in times(cards).items() if before[name] != time}
    assert again == {f"{site.pseudonym_of(f'{NAME}-{number}')}.json" for number in (1, 2, 3)}
    monkeypatch.setattr(drawing, "CARD_VERSION", 99)
    before = times(cards)
    sheet_of(site, tmp_path)
    assert all(before[name] != time for name, time in times(cards).items())


def test_a_stopped_drawing_goes_on_where_it_was(tmp_path: Path) -> None:
    site = site_of(tmp_path, 4)

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_contact_sheet(site, "hippocampus", tmp_path, tmp_path / "out", progress=stop)
    kept = times(tmp_path / "out" / "cards")
    assert len(kept) == 2
    assert len(sheet_of(site, tmp_path).cards) == 4
    assert kept.items() <= times(tmp_path / "out" / "cards").items()


def test_pictures_of_a_case_that_was_taken_out_are_removed(tmp_path: Path) -> None:
    site = site_of(tmp_path, 4)
    sheet_of(site, tmp_path)
    table = tmp_path / "cases.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:-1]))
    (tmp_path / f"{NAME}-0_label.nii.gz").write_bytes(b"broken")
    assert len(sheet_of(site, tmp_path).cards) == 2
    assert set(times(tmp_path / "out" / "cards")) == {
        f"{site.pseudonym_of(f'{NAME}-{number}')}.json" for number in (1, 2)
    }


# ------------------------------------------------------------------ real data, real browser


def test_real_scans_of_six_hospitals(data_folder: Path, tmp_path: Path) -> None:
    source = {
        "layout": "bids",
        "root": str(data_folder / "spinal_cord_gm_6sites" / "bids"),
        "image": "run-1_T2starw",
        "labels": {"cord": "seg-manual", "grey_matter": "gmseg-manual"},
        "patient_pattern": r"sub-(\d+)",
    }
    site = site_config(hippocampus={"source": source})
    sheet = sheet_of(site, tmp_path)
    assert len(sheet.cards) == 6
    assert sorted(sheet.scans_of_patient.values()) == [1, 1, 1, 1, 2]
    assert {card.facts["Manufacturer"] for card in sheet.cards} == {"Siemens", "Philips"}
    assert {card.facts.get("PatientSex") for card in sheet.cards} == {"F", "M"}
    assert all(2 < card.marks[0].millilitres < 6 for card in sheet.cards)
    assert all(card.views[-1].frame is not None for card in sheet.cards)
    page = write_contact_sheet(sheet, tmp_path / "out").page.read_text()
    assert "Milan" not in page and "sub-" not in page
    assert len(page) < 300_000


def test_a_browser_runs_the_page_and_no_hostile_text(tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium")
    page = tmp_path / "page.html"
    page.write_text(render_sheet(hostile_sheet(sheet_of(site_of(tmp_path, 3), tmp_path))))
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(
        [*command, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()],
        capture_output=True, text=True, check=True, timeout=120, env=environment,
    )  # fmt: skip
    # Written by the page's own script, so that its hash is right and the policy lets it run.
    assert "3 of 3 cases shown" in done.stdout
    assert 'class="controls scripted">' in done.stdout
    assert done.stdout.count("<script>") == 1
