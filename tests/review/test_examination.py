"""Who treats the patient can tell the examinations apart on the page, and nowhere else; a blinded reader cannot."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from fedvoxel.dicom.quiet import quiet
from fedvoxel.review.study_export import export_study
from tests.evaluation.inference.bright_studies import bright_model, bright_study, levels
from tests.review.browser import window_on
from tests.review.reading_sample import Page
from tests.review.test_model_reading import answer, desk_on

SHOWN = ("2024-05-03 10:42, MR, 9 slices", "2025-11-20, MR, 9 slices")
DIGITS = ("20240503", "2024-05-03", "10:42", "20251120", "2025-11-20")


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Two examinations of one patient, and one whose date is none: with somebody's name in its place."""
    dates = (("20240503", "104233.5"), ("20251120", ""), ("Doe^Jane", "1100"))
    for number, (date, time) in enumerate(dates):
        uids = {"StudyInstanceUID": f"1.2.3.{number}", "SeriesInstanceUID": f"1.2.4.{number}"}
        named = {"PatientName": "Doe^Jane", "PatientID": "4711", "AccessionNumber": "ACC99"}
        folder = tmp_path / "cohort" / str(number)
        with quiet():
            bright_study(folder, codes=levels(seed=number), StudyDate=date, StudyTime=time, **uids, **named)
    return tmp_path / "cohort"


def test_the_page_tells_examinations_of_a_patient_apart(browser: Browser, cohort: Path, tmp_path: Path) -> None:
    server = Page(desk_on(bright_model(tmp_path), cohort, tmp_path / "study"))
    window = window_on(browser, server)
    shown = [row.inner_text() for row in window.page.locator("#cases tr").all()]
    assert all(text in row for text, row in zip(SHOWN, shown, strict=False)), shown
    assert "\nMR, " in shown[2]
    window.page.set_viewport_size({"width": 1024, "height": 600})
    window.begin()
    assert window.page.inner_text("#examination") == SHOWN[0]
    bar = "() => { const bar = document.querySelector('.bar'); return bar.scrollWidth <= bar.clientWidth; }"
    assert window.page.evaluate(bar) and window.complaints == []
    for secret in ("Doe", "Jane", "4711", "ACC99"):
        assert secret not in " ".join(shown) + window.page.content() + server.get("/api/reading").text
    window.page.close()


def test_a_blinded_reader_a_file_and_a_log_learn_nothing_of_it(
    cohort: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for name, blinded in (("open", False), ("blinded", True)):
        desk = desk_on(bright_model(tmp_path), cohort, tmp_path / name, blinded=blinded)
        page, case = Page(desk), desk.reading.cases[0].case
        told = page.get("/api/reading").text
        facts = page.visit(case)
        assert (DIGITS[1] in told + str(facts)) != blinded and (facts["examination"] is None) == blinded
        if not blinded:
            answer(page, case, facts, "accept")
            export_study(desk.study, tmp_path / name / "export")
        kept = [path for path in (tmp_path / name).rglob("*") if path.is_file() and path.suffix in (".json", ".jsonl")]
        written = " ".join(path.read_text() for path in kept) + (tmp_path / "open/export/study.csv").read_text()
        said = capfd.readouterr()
        everything = written + said.out + said.err + caplog.text + repr(desk.reading)
        assert kept and not any(secret in everything for secret in (*DIGITS, "Jane"))
