"""`fedvoxel consortium report`: a page, a PDF, JSON for a script, and what to do about what is not known."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from fedvoxel.governance.quarter.period import Quarter
from tests.governance.evidence_sample import LEAD, RUN, A, Sample, evidence_sample

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return evidence_sample(tmp_path_factory.mktemp("quarter"))


def words(sample: Sample, tmp_path: Path, *more: str) -> list[str]:
    index = ["--releases", str(sample.index), "--seen", str(tmp_path / "seen.json")]
    return ["consortium", "report", str(sample.server), *index, *more]


@pytest.mark.parametrize("name", ["page.pdf", "nowhere/page.html"])
def test_a_page_that_cannot_be_written_is_no_crash(name: str, sample: Sample, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "nowhere").write_text("a file")
    assert main(words(sample, tmp_path, "--no-pdf", "--out", str(tmp_path / name))) == 3
    assert "--out" in capsys.readouterr().err


def test_a_page_and_its_pdf_are_written(sample: Sample, tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "page.html"
    assert main(words(sample, tmp_path, "--out", str(out))) == 0
    said, page = " ".join(capsys.readouterr().out.split()), out.read_text()
    assert "runs 1, hospitals that trained 2" in said and f"Not known: what {RUN} cost" in said
    assert all(text in page for text in (RUN, LEAD, A, "released", "The quarter was not over")) and "http:" not in page
    assert out.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")


def test_json_says_the_same_and_writes_nothing(
    sample: Sample, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words(sample, tmp_path, "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["quarter"] == str(Quarter.of(datetime.now(UTC))) and told["runs"][0]["run_key"] == RUN
    assert not list(tmp_path.glob("*.html"))


def test_a_quarter_without_anything_has_an_empty_page(sample: Sample, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    assert main(words(sample, tmp_path, "--quarter", "2020-Q1", "--no-pdf", "--out", str(out))) == 0
    page = out.read_text()
    assert "None was asked to train" in page and RUN not in page and not out.with_suffix(".pdf").exists()


@pytest.mark.parametrize(("more", "code"), [(["--quarter", "autumn"], 3), (["--releases", "nowhere"], 17)])
def test_what_cannot_be_used_is_an_error(sample: Sample, tmp_path: Path, more: list[str], code: int) -> None:
    assert main(words(sample, tmp_path, *more)) == code


def test_a_hospitals_kit_is_refused(sample: Sample, capsys: Captured) -> None:
    assert main(["consortium", "report", str(sample.kit(A))]) == 3
    assert "expected the server's kit" in capsys.readouterr().err


def test_help_shows_an_example(capsys: Captured) -> None:
    assert main(["consortium", "report", "--help"]) == 0
    assert "Example" in capsys.readouterr().out
