"""`fedvoxel cohort show` and `fedvoxel cohort report` as a person calls them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedvoxel.cli.main import main
from tests.cli.test_cohort import SOURCE, fedvoxel, write_site
from tests.evaluation.cohorts.cohort_folders import NAME, write_cohort
from tests.volumes.scans import csv_cohort


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_cohort(tmp_path, 6, Manufacturer="Siemens")
    monkeypatch.chdir(tmp_path)
    return write_site(tmp_path, hippocampus=csv_cohort())


def test_show_says_where_to_look_and_what_is_next(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site.parent / f"{NAME}-3_image.nii.gz").write_bytes(b"broken")
    assert main(["cohort", "show", "--site", str(site), "--cohort", "hippocampus"]) == 0
    said = capsys.readouterr().out
    assert "5 cases drawn" in said
    assert "1 refused" in said
    assert "Open in a browser: cohort-hippocampus-pictures/contact_sheet.html" in said
    assert "keep them in the hospital" in said
    assert NAME not in said
    assert (site.parent / "cohort-hippocampus-pictures" / "contact_sheet.html").is_file()


@pytest.mark.parametrize("package", ["contourpy", "matplotlib"])
def test_show_names_what_is_to_be_installed(site: Path, tmp_path: Path, package: str) -> None:
    """As on a machine with .[site] alone; the pictures are drawn by processes of their own."""
    (tmp_path / "without").mkdir()
    missing = f"raise ModuleNotFoundError(\"No module named '{package}'\", name='{package}')"
    (tmp_path / "without" / f"{package}.py").write_text(missing)
    paths = os.pathsep.join((str(tmp_path / "without"), str(SOURCE)))
    command = [sys.executable, "-m", "fedvoxel.cli.main", "cohort", "show", "--site", str(site)]
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(
        [*command, "--cohort", "hippocampus"], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    said = f"error: this needs {package}, which is not installed; install it with: pip install '.[report]'\n"
    assert done.returncode == 3 and said in done.stderr and "bug" not in done.stderr


def test_show_draws_a_part_where_asked(site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["cohort", "show", "--site", str(site), "--cohort", "hippocampus", "--out", str(tmp_path / "some")]
    assert main([*arguments, "--cases", "2"]) == 0
    assert "2 cases drawn" in capsys.readouterr().out
    assert main([*arguments, "--split", "everything"]) == 2


def test_report_writes_and_prints_the_same(site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"consent": "Approved."}))
    arguments = ["cohort", "report", "--site", str(site), "--cohort", "hippocampus", "--answers", str(answers)]
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    folder = tmp_path / "cohort-hippocampus-datasheet"
    assert told == json.loads((folder / "datasheet.json").read_text())
    assert (told["composition"]["patients"], told["answers"]["consent"]) == (6, "Approved.")
    assert "Approved." in (folder / "datasheet.html").read_text()
    assert main([*arguments, "--minimum-cases", "7"]) == 0
    said = capsys.readouterr().out
    assert "fewer than 7 patients" in said
    assert "Nothing was sent" in said


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["show", "--cohort", "liver"], 5, "no cohort 'liver'"),
        (["report", "--cohort", "liver"], 5, "no cohort 'liver'"),
        (["show", "--cohort", "hippocampus", "--out", "/dev/null/there"], 5, "--out"),
        (["report", "--cohort", "hippocampus", "--out", "/dev/null/there"], 5, "--out"),
        (["report", "--cohort", "hippocampus", "--answers", "cases.csv"], 3, "--answers"),
        (["report", "--cohort", "hippocampus", "--minimum-cases", "1"], 2, "minimum-cases"),
    ],
)
def test_what_goes_wrong_has_its_exit_code(
    site: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, text: str
) -> None:
    assert main(["cohort", *arguments, "--site", str(site)]) == code
    error = capsys.readouterr().err
    assert text in error
    assert NAME not in error


def test_no_usable_case_is_an_error_after_the_page(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in site.parent.glob("*_label.nii.gz"):
        path.write_bytes(b"broken")
    assert main(["cohort", "show", "--site", str(site), "--cohort", "hippocampus"]) == 5
    assert "no usable case" in capsys.readouterr().err
    assert "unreadable" in (site.parent / "cohort-hippocampus-pictures" / "contact_sheet.html").read_text()


def test_help_has_an_example_and_loads_nothing_heavy() -> None:
    for command in ("show", "report"):
        assert f"Example: fedvoxel cohort {command}" in " ".join(fedvoxel("cohort", command, "--help").stdout.split())
    heavy = ("torch", "nibabel", "scipy", "matplotlib", "PIL", "jinja2", "nvflare", "fedvoxel.evaluation")
    code = f"import sys, fedvoxel.cli.cohort\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
