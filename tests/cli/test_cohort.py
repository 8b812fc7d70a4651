import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.main import main
from tests.volumes.scans import csv_cohort, pairs_table, site_values

SOURCE = Path(__file__).parents[2] / "app_custom"


def write_site(folder: Path, **cohorts: Any) -> Path:
    path = folder / "fedvoxel_site.json"
    path.write_text(json.dumps(site_values(**cohorts)))
    return path


@pytest.fixture
def site(tmp_path: Path) -> Path:
    pairs_table(tmp_path, 8)
    return write_site(tmp_path, hippocampus=csv_cohort())


def fedvoxel(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fedvoxel.cli.main", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "COLUMNS": "160"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_good_cohort_is_shown_per_split(site: Path) -> None:
    done = fedvoxel("cohort", "check", "--site", site)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hippocampus: 8 usable, 0 refused" in done.stdout
    assert all(split in done.stdout for split in ("training", "validation", "test"))
    assert "anterior 27, posterior 18" in done.stdout


def test_refused_case_is_a_warning_and_strict_makes_it_an_error(site: Path) -> None:
    (site.parent / "patient3_image.nii.gz").write_bytes(b"broken")
    done = fedvoxel("cohort", "check", "--site", site, "--cohort", "hippocampus")
    assert done.returncode == 0
    assert "unreadable" in done.stdout
    assert "export the case again as NIfTI" in " ".join(done.stdout.split())
    assert done.stderr.startswith("warning: refused cases in hippocampus: 1 x unreadable; the others are used")
    assert len(done.stderr.splitlines()) == 1
    assert "patient3" not in done.stdout + done.stderr
    strict = fedvoxel("cohort", "check", "--site", site, "--strict")
    assert strict.returncode == 5
    assert strict.stderr == "error: refused cases in hippocampus: 1 x unreadable\n"


def test_json_alone_is_on_standard_output(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (site.parent / "patient3_image.nii.gz").unlink()
    assert main(["cohort", "check", "--site", str(site), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    report = shown["cohorts"]["hippocampus"]
    assert (shown["schema_version"], len(report["usable"])) == (1, 7)
    assert report["refused"][0]["reason"] == "missing_image"
    assert set(report["usable"][0]) == {"case", "split", "shape", "spacing_mm", "voxels_per_class"}


def test_no_usable_case_ends_with_5(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in site.parent.glob("*_label.nii.gz"):
        path.unlink()
    assert main(["cohort", "check", "--site", str(site), "--json"]) == 5
    captured = capsys.readouterr()
    assert "error: no usable case in hippocampus: 8 x missing_label" in captured.err
    assert len(json.loads(captured.out)["cohorts"]["hippocampus"]["refused"]) == 8


def test_classes_are_those_of_the_job(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cohort", "check", "--site", str(site), "--classes", "posterior, anterior", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)["cohorts"]["hippocampus"]["usable"][0]
    assert first["voxels_per_class"] == {"posterior": 18, "anterior": 27}
    assert main(["cohort", "check", "--site", str(site), "--classes", "tumour"]) == 5
    assert "tumour" in capsys.readouterr().err


def test_key_file_is_written_for_the_owner(site: Path, tmp_path: Path) -> None:
    key = tmp_path / "out" / "key.csv"
    assert main(["cohort", "check", "--site", str(site), "--key-file", str(key)]) == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_text().splitlines()) == 9


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--cohort", "liver"], 5, "no cohort 'liver'"),
        (["--key-file", "/dev/null/key.csv"], 5, "--key-file"),
    ],
)
def test_what_goes_wrong_is_one_line(
    site: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, text: str
) -> None:
    assert main(["cohort", "check", "--site", str(site), *arguments]) == code
    error = capsys.readouterr().err
    assert text in error
    assert len(error.splitlines()) == 1


def test_missing_and_empty_site_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cohort", "check", "--site", str(tmp_path / "none.json")]) == 3
    assert main(["cohort", "check", "--site", str(write_site(tmp_path))]) == 5
    assert "describes no cohort" in capsys.readouterr().err


def test_statistics_are_printed_as_they_would_be_sent(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cohort", "statistics", "--site", str(site)]) == 0
    sent = json.loads(capsys.readouterr().out)
    assert (sent["cases"], sent["minimum_cases"]) == (8, 5)
    assert main(["cohort", "statistics", "--site", str(site), "--minimum-cases", "9"]) == 0
    assert json.loads(capsys.readouterr().out)["below_minimum"] is True


def test_statistics_are_of_one_cohort(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs_table(tmp_path, 6)
    site = write_site(tmp_path, a=csv_cohort(), b=csv_cohort())
    assert main(["cohort", "statistics", "--site", str(site)]) == 5
    assert "--cohort" in capsys.readouterr().err
    assert main(["cohort", "statistics", "--site", str(site), "--cohort", "b"]) == 0


def test_help_has_an_example_and_loads_nothing_heavy() -> None:
    assert "Example: fedvoxel cohort check" in fedvoxel("cohort", "check", "--help").stdout
    code = (
        "import sys, fedvoxel.cli.cohort\n"
        "print([name for name in ('torch', 'nibabel', 'scipy', 'monai', 'nvflare') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
