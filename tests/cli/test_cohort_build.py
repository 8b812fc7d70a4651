"""`fedvoxel cohort build` says what it did, what it refused and what to do next; its cohort is used like any other."""

import csv
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.cli.main import main
from fedvoxel.dicom.faults import REMEDIES
from fedvoxel.volumes.loading import load_usable_cases
from fedvoxel.volumes.plan import PreprocessingPlan
from fedvoxel.volumes.site import load_site_config
from tests.volumes.cohort.studies import CLASSES, cohort_values, generated_study
from tests.volumes.scans import KEY


def write_site(folder: Path, **changes: Any) -> Path:
    cohort = cohort_values({"folder": "dicom"}) | changes
    path = folder / "fedvoxel_site.json"
    path.write_text(json.dumps({"schema_version": 1, "pseudonym_key": KEY, "cohorts": {"prostate": cohort}}))
    return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with two good studies and one without a label; not built yet."""
    folder = tmp_path_factory.mktemp("site")
    for number in range(3):
        generated_study(folder / "dicom", number, labelled=number < 2)
    return write_site(folder, split={"test": 0.0, "validation": 0.0})


def words(site: Path, *more: str) -> list[str]:
    return ["cohort", "build", "--site", str(site), "--cohort", "prostate", "--workers", "1", *more]


def test_a_build_and_what_comes_after(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cohort", "check", "--site", str(site)]) == 5
    assert "run `fedvoxel cohort build` first" in capsys.readouterr().err
    key_file = site.parent / "key.csv"
    assert main(words(site, "--key-file", str(key_file))) == 0
    shown = capsys.readouterr()
    out = " ".join(shown.out.split())
    assert "prostate: 2 cases, 1 refused" in out and "missing_label" in out and "2 built now" in out
    assert f"fedvoxel cohort check --site {site} --cohort prostate" in shown.err
    assert "PID-" not in shown.out + shown.err and "DOE" not in shown.out + shown.err
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    with key_file.open(newline="") as stream:
        rows = {row["PatientID"]: row["outcome"] for row in csv.DictReader(stream)}
    assert rows == {"PID-0000": "usable", "PID-0001": "usable", "PID-0002": "missing_label"}

    assert main(words(site, "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["cases"], told["built"], told["kept"], told["dropped"]) == (2, 0, 2, 0)
    assert told["cases_per_split"] == {"training": 2, "validation": 0, "test": 0}
    assert told["refused_per_reason"] == {"missing_label": 1} and len(told["cohort_sha256"]) == 64

    check_key = site.parent / "check.csv"
    assert main(["cohort", "check", "--site", str(site), "--key-file", str(check_key)]) == 0
    assert "prostate: 2 usable, 1 refused" in " ".join(capsys.readouterr().out.split())
    with check_key.open(newline="") as stream:
        listed = list(csv.DictReader(stream))
    assert all(row["pseudonym"] == row["case"] for row in listed) and len(listed) == 3
    assert main(["cohort", "statistics", "--site", str(site), "--minimum-cases", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["cases"] == 2


def test_a_trainer_loads_it_like_any_other(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words(site, "--json")) == 0
    names = {case["patient"] for case in json.loads((site.parent / "built" / "manifest.json").read_text())["cases"]}
    plan = PreprocessingPlan(spacing_mm=(1.0, 1.0, 1.0))
    loaded, refused = load_usable_cases(
        load_site_config(site), "prostate", tuple(CLASSES), plan, "training", site.parent
    )
    assert {case.patient for case in loaded} == names
    assert [refusal.reason for refusal in refused] == ["missing_label"]


def test_nothing_usable_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generated_study(tmp_path / "dicom", 0, labelled=False)
    assert main(words(write_site(tmp_path))) == 5
    shown = capsys.readouterr()
    assert "error: no case of prostate could be built: 1 x missing_label" in shown.err
    assert "0 cases, 1 refused" in " ".join(shown.out.split())


def test_files_that_are_not_used_are_told_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generated_study(tmp_path / "dicom", 0)
    (tmp_path / "dicom" / "DOE.txt").write_text("no DICOM")
    assert main(words(write_site(tmp_path))) == 0
    out = capsys.readouterr().out
    assert f"1 source files not used: not_dicom; {REMEDIES['not_dicom']}\n" in out and "DOE" not in out


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = write_site(tmp_path)
    assert main(words(site)) == 15
    assert str(tmp_path / "dicom") not in capsys.readouterr().err
    assert main(["cohort", "build", "--site", str(site), "--cohort", "other"]) == 5
    assert main(words(tmp_path / "nowhere.json")) == 3


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.0, 0.3, 0.8, 1.3])
def test_an_interrupt_is_one_line(tmp_path: Path, delay_s: float) -> None:
    for number in range(20):
        generated_study(tmp_path / "dicom", number)
    command = [sys.executable, "-m", "fedvoxel.cli.main", *words(write_site(tmp_path))]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "app_custom")}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 60
        while not (tmp_path / "built" / "images").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(delay_s)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it: to all of them
        out, error = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("it was faster than the interrupt")
    assert (process.returncode, out) == (130, "")
    assert error == "interrupted: finished cases are kept; run the same command again to go on\n"


def test_a_site_without_the_packages_is_told_and_uses_what_is_built(site: Path) -> None:
    program = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pydicom", "highdicom", "pynetdicom"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
from fedvoxel.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
    assert main(words(site, "--json")) == 0

    def without(*arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "app_custom")}
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    done = without(*words(site))
    assert done.returncode == 3 and "pip install '.[site,dicom]'" in done.stderr and "Traceback" not in done.stderr
    assert without("cohort", "check", "--site", str(site)).returncode == 0
