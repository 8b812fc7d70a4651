"""A decoder that crashes, hangs or takes all memory costs its own case and no other; workers end with their parent."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedvoxel.errors import CohortError
from fedvoxel.volumes.cohort.build import build_cohort
from fedvoxel.volumes.cohort.workers import Bounds, Failed, WorkerPool, _interrupt_deferred
from tests.volumes.cohort import stand_ins
from tests.volumes.cohort.studies import cohort_values, files_in, generated_study, site_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    generated_study(folder, 0)
    generated_study(folder, 1, patient=stand_ins.HOSTILE)
    return folder


def site(source: Path, **build: Any) -> Any:
    return site_of(cohort_values({"folder": str(source)}, case_memory_gib=0.5, **build))


@pytest.mark.parametrize(
    ("run", "reason", "detail"),
    [
        (stand_ins.crashing, "crashed", "SIGSEGV"),
        pytest.param(stand_ins.killed, "out_of_memory", "SIGKILL", marks=pytest.mark.slow),
        pytest.param(stand_ins.leaving, "crashed", "exit code 3", marks=pytest.mark.slow),
        (stand_ins.hanging, "timed_out", "3 s"),
        (stand_ins.swallowing, "out_of_memory", "MemoryError"),
        (stand_ins.raising, "unexpected_error", "KeyError"),
    ],
)
def test_one_bad_file_is_one_refused_case(
    run: Callable[..., Any], reason: str, detail: str, source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    report = build_cohort(site(source, case_timeout_s=3), "main", tmp_path, 1, run=run)
    assert len(report.manifest.cases) == 1 and report.refused_per_reason == {reason: 1}
    (refused,) = report.manifest.refused
    assert detail in refused.message and stand_ins.HOSTILE not in refused.message
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.rglob("*.work*"))
    if run is stand_ins.crashing:  # such a refusal is tried again, perhaps on a better day
        again = build_cohort(site(source, case_timeout_s=3), "main", tmp_path, 1)
        assert (again.built, again.reused) == (1, 1)


def test_a_full_disk_is_nobodys_case(source: Path, tmp_path: Path) -> None:
    with pytest.raises(CohortError, match=r"cannot be written \(No space left on device\); free space") as caught:
        build_cohort(site(source), "main", tmp_path, 1, run=stand_ins.on_a_full_disk)
    assert str(tmp_path) not in str(caught.value)
    assert "manifest.json" not in files_in(tmp_path / "built")
    assert build_cohort(site(source), "main", tmp_path, 1).refused_per_reason == {}


def printing(task: int) -> int:
    """Is a native library that quotes what it reads."""
    os.write(1, b"PatientName DOE^JANE\n")
    os.write(2, b"PatientName DOE^JANE\n")
    return task + 1


def test_what_libraries_print_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with WorkerPool(printing, 1, Bounds(2**30, 30)) as pool:
        pool.begin(41)
        done: list[tuple[int, int | Failed]] = []
        while not done:
            done += pool.finished(1)
    assert done == [(41, 42)]
    assert capfd.readouterr() == ("", "")


PARENT = """
import sys, time
from pathlib import Path
from fedvoxel.volumes.cohort.workers import Bounds, WorkerPool
from tests.volumes.cohort.stand_ins import marking
if __name__ == "__main__":
    marks = [Path(sys.argv[1]) / name for name in "ab"]
    with WorkerPool(marking, 2, Bounds(2**30, 600)) as pool:
        for mark in marks:
            pool.begin(mark)
        while not all(mark.exists() for mark in marks):
            time.sleep(0.01)
        print("begun", flush=True)
        time.sleep(600)
"""


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(PARENT)
    paths = os.environ | {"PYTHONPATH": f"{ROOT / 'app_custom'}{os.pathsep}{ROOT}"}
    command = [sys.executable, str(program), str(tmp_path)]
    with subprocess.Popen(command, env=paths, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == "begun\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        parent.send_signal(signal.SIGKILL)
    try:
        assert len(children) >= 2
        psutil.wait_procs(children, 20)
        assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    finally:
        for child in children:
            if child.is_running():
                child.kill()


FIRST = """
import signal
from fedvoxel.volumes.cohort.workers import Bounds, WorkerPool
from tests.volumes.cohort.stand_ins import blocked
if __name__ == "__main__":
    with WorkerPool(blocked, 1, Bounds(2**30, 60)) as pool:
        pool.begin(signal.SIGINT)
        done = []
        while not done:
            done += pool.finished(1)
    print(done[0][1])
"""


def test_the_first_worker_hears_no_interrupt_either(tmp_path: Path) -> None:
    (tmp_path / "first.py").write_text(FIRST)
    paths = os.environ | {"PYTHONPATH": f"{ROOT / 'app_custom'}{os.pathsep}{ROOT}"}
    command = [sys.executable, str(tmp_path / "first.py")]
    assert subprocess.run(command, env=paths, capture_output=True, text=True, check=True).stdout == "True\n"


def test_an_interrupt_waits_until_a_worker_has_its_orders() -> None:
    """Another thread takes the signal, as one does that shows the progress: the mask alone does not hold that off."""
    go, taken = threading.Event(), threading.Event()

    def take() -> None:
        go.wait()
        signal.raise_signal(signal.SIGINT)
        taken.set()

    threading.Thread(target=take, daemon=True).start()
    whole = False
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), _interrupt_deferred():  # noqa: PT012
        go.set()
        taken.wait()
        whole = True
    assert whole
    assert signal.getsignal(signal.SIGINT) is before
