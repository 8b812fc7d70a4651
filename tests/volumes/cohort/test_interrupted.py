"""Whatever the instant at which a build ends, the next one goes on, and the cohort is the same as in one go."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import CohortError
from fedvoxel.volumes.cohort.build import build_cohort
from fedvoxel.volumes.cohort.manifest import read_manifest
from tests.volumes.cohort.studies import cohort_values, files_in, generated_study, site_of

ROOT = Path(__file__).resolve().parents[3]
CASES = 8
PROGRAM = """
import json, sys
from pathlib import Path
from fedvoxel.volumes.cohort.build import build_cohort
from tests.volumes.cohort import stand_ins
from tests.volumes.cohort.studies import site_of
if __name__ == "__main__":
    cohort, base, workers = json.loads(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    print("begun", flush=True)
    report = build_cohort(site_of(cohort), "main", base, workers, run=stand_ins.slow)
    print(report.built, report.reused, flush=True)
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for number in range(CASES):
        generated_study(folder, number)
    return folder


@pytest.fixture(scope="module")
def in_one_go(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("one_go")
    build_cohort(site_of(cohort_values({"folder": str(source)})), "main", base, 2)
    return base / "built"


def started(cohort: dict[str, Any], base: Path, workers: int = 1) -> "subprocess.Popen[str]":
    paths = os.environ | {"PYTHONPATH": f"{ROOT / 'app_custom'}{os.pathsep}{ROOT}"}
    words = [sys.executable, "-W", "error", str(base / "program.py"), json.dumps(cohort), str(base), str(workers)]
    (base / "program.py").write_text(PROGRAM)
    return subprocess.Popen(words, env=paths, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lasting(built: Path) -> dict[str, bytes]:
    """What a job and the next build find, without the account of when."""
    return {name: content for name, content in files_in(built).items() if ".journal" not in name}


def done_cases(base: Path) -> int:
    return len(list((base / "built" / ".journal").glob("case-*.json")))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_struck_again_and_again(source: Path, in_one_go: Path, tmp_path: Path, how: signal.Signals) -> None:
    cohort = cohort_values({"folder": str(source)})
    strikes = 0
    for attempt in range(50):
        before = done_cases(tmp_path)
        process = started(cohort, tmp_path)
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        deadline = time.monotonic() + 60
        while process.poll() is None and done_cases(tmp_path) <= before:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.037 * (attempt % 5))  # at another instant of the next case each time
        if process.poll() is None:
            process.send_signal(how)
            strikes += 1
        said, error = process.communicate(timeout=60)
        assert "DOE" not in said + error and "PID-" not in said + error
        if process.returncode == 0:
            break
        if (tmp_path / "built" / "manifest.json").exists():
            assert read_manifest(tmp_path / "built") == read_manifest(in_one_go)
    assert strikes >= 4
    report = build_cohort(site_of(cohort), "main", tmp_path, 2)
    assert report.built + report.reused == CASES and report.reused >= 4
    assert lasting(tmp_path / "built") == lasting(in_one_go)
    assert not (tmp_path / "built" / ".work").exists()


def test_killed_once_and_gone_on(source: Path, in_one_go: Path, tmp_path: Path) -> None:
    cohort = cohort_values({"folder": str(source)})
    with started(cohort, tmp_path) as process:
        deadline = time.monotonic() + 60
        while done_cases(tmp_path) < 2:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    assert not (tmp_path / "built" / "manifest.json").exists()
    (tmp_path / "built" / "images" / "case-0123456789ab.nii.gz").write_bytes(b"half a file of an unknown case")
    report = build_cohort(site_of(cohort), "main", tmp_path, 2)
    assert report.reused >= 2 and report.built + report.reused == CASES
    assert lasting(tmp_path / "built") == lasting(in_one_go)


@pytest.mark.slow
def test_while_one_build_runs_another_is_refused(source: Path, tmp_path: Path) -> None:
    cohort = cohort_values({"folder": str(source)})
    with started(cohort, tmp_path) as first:
        deadline = time.monotonic() + 60
        while not done_cases(tmp_path):
            assert first.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        with started(cohort, tmp_path) as second:
            _, error = second.communicate(timeout=60)
        first.kill()
    assert second.returncode != 0 and "being built by another process" in error


def test_what_a_kill_leaves_of_a_manifest_is_taken_away(source: Path, in_one_go: Path, tmp_path: Path) -> None:
    shutil.copytree(in_one_go, tmp_path / "built")
    half = tmp_path / "built" / ".manifest.json.ab12cd34"
    half.write_text('{"schema_version"')
    report = build_cohort(site_of(cohort_values({"folder": str(source)})), "main", tmp_path, 1)
    assert (report.built, report.reused) == (0, CASES)
    assert not half.exists()


def test_links_in_a_built_folder_are_refused_and_what_they_lead_to_is_left(
    source: Path, in_one_go: Path, tmp_path: Path
) -> None:
    shutil.copytree(in_one_go, tmp_path / "built")
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "built" / "images").rename(elsewhere)
    stranger = elsewhere / "case-000000000000.nii.gz"
    stranger.write_bytes(b"not of this cohort")
    (tmp_path / "built" / "images").symlink_to(elsewhere)
    with pytest.raises(CohortError, match="1 files, folders or links"):
        build_cohort(site_of(cohort_values({"folder": str(source)})), "main", tmp_path, 1)
    assert stranger.exists()
