"""A disk that is full: the build says so, what is finished stays, nothing is half written, and it goes on later."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fedvoxel.errors import CohortError
from fedvoxel.volumes.cohort.build import build_cohort
from fedvoxel.volumes.cohort.folder import JOURNAL
from tests.volumes.cohort.studies import cohort_values, files_in, generated_study, site_of

ROOT = Path(__file__).resolve().parents[3]
CASES = 8


def build_on(source: Path, disk: Path) -> None:
    """Runs in a process that sees a tiny disk: fills it, builds, frees it, builds again; prints what happened."""
    site = site_of(cohort_values({"folder": str(source)}))
    filler = disk / "filler"
    room = shutil.disk_usage(disk).free - 80 * 1024
    filler.write_bytes(bytes(room))
    try:
        build_cohort(site, "main", disk, 1)
        said = "nothing"
    except CohortError as error:
        said = str(error)
    left = sorted(name for name in files_in(disk / "built") if "journal" not in name)
    done = len(list((disk / "built" / JOURNAL).glob("case-*.json")))
    filler.unlink()
    report = build_cohort(site, "main", disk, 1)
    told = {"said": said, "left": left, "done": done, "built": report.built, "reused": report.reused}
    sys.stdout.write(json.dumps(told | {"hash": report.manifest.cohort_sha256}))


@pytest.mark.slow
def test_a_tiny_disk(tmp_path: Path) -> None:
    source, disk = tmp_path / "source", tmp_path / "disk"
    disk.mkdir()
    for number in range(CASES):
        generated_study(source, number)
    mounted = ["unshare", "--map-root-user", "--mount", "sh", "-c", 'mount -t tmpfs -o size=1m x "$0"; "$@"', str(disk)]
    if not shutil.which("unshare") or "tmpfs" not in _output([*mounted, "df", "-T", str(disk)]):
        pytest.skip("no tiny disk can be mounted here")
    program = tmp_path / "program.py"
    program.write_text(
        "import pathlib, sys\n"
        "from tests.volumes.cohort.test_full_disk import build_on\n"
        'if __name__ == "__main__":\n'
        "    build_on(*map(pathlib.Path, sys.argv[1:]))\n"
    )
    told = json.loads(_output([*mounted, sys.executable, str(program), str(source), str(disk)]))
    assert "cannot be written (No space left on device)" in told["said"] and str(disk) not in told["said"]
    assert 0 < told["done"] < CASES and "manifest.json" not in told["left"]
    assert len(told["left"]) <= 3 * (told["done"] + 1)  # a last case may be in place and not yet noted as done
    assert told["reused"] >= told["done"] and told["built"] + told["reused"] == CASES
    plain = build_cohort(site_of(cohort_values({"folder": str(source)})), "main", tmp_path, 1)
    assert told["hash"] == plain.manifest.cohort_sha256


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    generated_study(tmp_path / "dicom", 0)
    (tmp_path / "built").write_text("a file where the folder should be")
    with pytest.raises(CohortError, match=r"cannot be written \(File exists\)"):
        build_cohort(site_of(cohort_values({"folder": "dicom"})), "main", tmp_path, 1)


def _output(command: list[str]) -> str:
    paths = os.environ | {"PYTHONPATH": f"{ROOT / 'app_custom'}{os.pathsep}{ROOT}"}
    return subprocess.run(command, env=paths, capture_output=True, text=True, timeout=120, check=False).stdout
