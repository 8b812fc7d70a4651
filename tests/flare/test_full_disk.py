"""A server that cannot write: the run has failed, or stops on a full disk; FLARE is told why, and nothing is half."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from nvflare.apis.shareable import Shareable

from fedvoxel.errors import DiskFullError, LedgerError
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome, write_outcome
from fedvoxel.federation.recorder import RunRecorder
from fedvoxel.flare import outcome_files, run_files
from fedvoxel.flare.messages import TASK_INITIALIZE, TASK_TRAIN, TASK_VALIDATE, result_reply
from fedvoxel.flare.round_journal import RoundJournal
from fedvoxel.flare.run_ending import NO_OUTCOME
from fedvoxel.flare.run_files import GLOBAL_MODEL_FILE
from fedvoxel.governance.audit_report import verify_log
from fedvoxel.records.audit import AUDIT_FILE
from fedvoxel.updates.update import Arrays
from tests.export.throwaway_root import NOW
from tests.flare.test_controller import META, Answer, panics_of, well_behaved

ROOT = Path(__file__).resolve().parents[2]
RUN, STATE = "job-1", "state/runs/a_run"
SITES = ("hospital-a", "hospital-b")
DISK_BYTES = 256 * 1024
TROUBLE = "the server could not write its files"


def said_by(folder: Path) -> dict[str, tuple[str, str | None]]:
    """Returns how the run ended by the outcome in its result and by that in its state, where there is one."""
    found = {place: folder / place / OUTCOME_FILE for place in (RUN, STATE)}
    outcomes = {place: load_outcome(path) for place, path in found.items() if path.is_file()}
    return {place: (outcome.status, outcome.reason) for place, outcome in outcomes.items()}


def leftovers(folder: Path) -> list[str]:
    """Returns the files that an unfinished write would have left."""
    return [path.name for path in folder.rglob(".*")]


@pytest.mark.parametrize(
    ("unwritable", "places"),
    [
        ([f"{RUN}/global_model.npz"], {RUN, STATE}),
        ([f"{STATE}/global_model.npz"], {RUN, STATE}),
        ([f"{RUN}/{OUTCOME_FILE}"], {STATE}),
        ([f"{STATE}/{OUTCOME_FILE}"], {RUN}),
        ([f"{RUN}/global_model.npz", f"{RUN}/{OUTCOME_FILE}"], {STATE}),
        ([f"{RUN}/{OUTCOME_FILE}", f"{STATE}/{OUTCOME_FILE}"], set()),
    ],
)
def test_a_file_that_cannot_be_written(unwritable: list[str], places: set[str], tmp_path: Path) -> None:
    for name in unwritable:
        (tmp_path / name).mkdir(parents=True)  # a folder in its place, which even root cannot write over
    (panic,) = panics_of(tmp_path, dict.fromkeys(SITES, well_behaved))
    reason = f"{TROUBLE} (Is a directory)"
    assert said_by(tmp_path) == dict.fromkeys(places, ("failed", reason))
    assert panic.endswith(reason if places else f"{reason}; {NO_OUTCOME}")
    assert leftovers(tmp_path) == []


def test_a_run_that_failed_anyway_keeps_its_own_reason(tmp_path: Path) -> None:
    (tmp_path / RUN / OUTCOME_FILE).mkdir(parents=True)
    (panic,) = panics_of(tmp_path, dict.fromkeys(SITES, well_behaved), num_round=3)
    ((status, reason),) = said_by(tmp_path).values()
    assert status == "failed" and reason and "num_round" in reason and reason.endswith(f"{TROUBLE} (Is a directory)")
    assert panic.endswith(reason)


def test_a_server_that_cannot_even_begin_its_files(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")
    (panic,) = panics_of(tmp_path, dict.fromkeys(SITES, well_behaved))
    assert TROUBLE in panic and panic.endswith(NO_OUTCOME)


@pytest.mark.parametrize("trouble", [LedgerError("audit.jsonl was changed"), DiskFullError("audit.jsonl: no room")])
def test_a_log_that_fails_at_the_end_is_told_alike_by_all_who_say_how_the_run_ended(
    trouble: LedgerError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise trouble

    monkeypatch.setattr(RunRecorder, "ended", fails)
    (panic,) = panics_of(tmp_path, dict.fromkeys(SITES, well_behaved))
    said, entry = said_by(tmp_path), RoundJournal(tmp_path / STATE / "journal").read()
    status = "unfinished" if isinstance(trouble, DiskFullError) else "failed"
    assert str(trouble) in panic and {place: ended for place, (ended, _) in said.items()} == {
        RUN: status,
        STATE: status,
    }
    assert entry and entry.ended == status
    if status == "failed":
        assert {reason for _, reason in said.values()} == {str(trouble)}
        assert all(load_outcome(tmp_path / place / OUTCOME_FILE).model for place in said)
    assert leftovers(tmp_path) == []


def test_an_outcome_that_says_finished_is_taken_back_where_only_its_own_place_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full: list[bool] = []

    def fills_up(*_: object) -> None:
        full.append(True)
        raise DiskFullError("audit.jsonl: no room")

    def without_room(outcome: RunOutcome, path: Path) -> None:
        if full and path.exists():  # a file is written beside the one whose place it takes
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_outcome(outcome, path)

    monkeypatch.setattr(RunRecorder, "ended", fills_up)
    monkeypatch.setattr(outcome_files, "write_outcome", without_room)
    (panic,) = panics_of(tmp_path, dict.fromkeys(SITES, well_behaved))
    assert "the run has stopped" in panic and said_by(tmp_path) == dict.fromkeys((RUN, STATE), tuple(ALL_BUT))


@pytest.mark.parametrize("index", [0, 1])
def test_a_disk_that_fills_up_after_a_round_is_committed_leaves_a_log_that_goes_on(
    index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, count = run_files.save_weights, iter(range(100))

    def full(path: Path, arrays: Arrays) -> None:
        if path.name == GLOBAL_MODEL_FILE and next(count) == index:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written(path, arrays)

    answers = dict.fromkeys(SITES, well_behaved)
    with monkeypatch.context() as disk:
        disk.setattr(run_files, "save_weights", full)
        (panic,) = panics_of(tmp_path, answers)
    assert FULL in panic and panics_of(tmp_path, answers, job_id="job-2") == []
    assert load_outcome(tmp_path / STATE / OUTCOME_FILE).status == "finished"
    report = verify_log(tmp_path / "state/audit" / AUDIT_FILE, None, None, NOW)
    rounds = [(event.round, event.job_id) for _, event in report.checked.lines if event.kind == "round"]
    assert report.flaws == [] and rounds == [(0, "job-1"), (1, "job-1" if index else "job-2")]


def large_model(task: str) -> list[Shareable]:
    """Is a site whose model is larger than the disk."""
    model = {"weight": np.full(DISK_BYTES // 4, 0.5 if task == TASK_TRAIN else 0.0, np.float32)}
    if task == TASK_VALIDATE:
        return well_behaved(task)
    return [result_reply(META if task == TASK_TRAIN else {}, model, difference=task != TASK_INITIALIZE)]


def filling(folder: Path) -> Answer:
    """Returns a site during whose test something else fills the server's disk."""

    def answer(task: str) -> list[Shareable]:
        if task == TASK_VALIDATE:
            with (folder / "filler").open("ab", buffering=0) as filler:
                try:
                    while True:
                        filler.write(bytes(1024))
                except OSError:
                    pass
        return well_behaved(task)

    return answer


def run_on_a_full_disk(folder: Path, kind: str) -> None:
    """Runs in a process whose `folder` is a tiny disk, and prints what is left there as JSON."""
    answers = dict.fromkeys(SITES, large_model if kind == "large model" else filling(folder))
    panics = panics_of(folder, answers)
    sys.stdout.write(json.dumps({"panics": panics, "said": said_by(folder), "left": leftovers(folder)}))


FULL = "No space left on device"
ALL_BUT = ["unfinished", "the run has not ended: at least 2 of 2 rounds are committed"]


@pytest.mark.parametrize(
    ("kind", "why", "said"),
    [
        ("large model", f"{TROUBLE} ({FULL})", {}),
        ("filled meanwhile", f"audit.jsonl cannot be read or written ({FULL})", dict.fromkeys((RUN, STATE), ALL_BUT)),
    ],
)
def test_a_run_on_a_full_disk_stops_and_has_not_ended(
    kind: str, why: str, said: dict[str, list[str]], tmp_path: Path
) -> None:
    mounted = ["unshare", "--map-root-user", "--mount", "sh", "-c", f'mount -t tmpfs -o size={DISK_BYTES} x "$0"; "$@"']
    if not shutil.which("unshare") or "tmpfs" not in _output([*mounted, tmp_path, "df", "-T", tmp_path]):
        pytest.skip("no tiny disk can be mounted here")
    program = "import sys, pathlib; from tests.flare.test_full_disk import run_on_a_full_disk as run; "
    program += "run(pathlib.Path(sys.argv[1]), sys.argv[2])"
    told = json.loads(_output([*mounted, tmp_path, sys.executable, "-c", program, tmp_path, kind]))
    assert told["said"] == said, "what was written before is still true"
    (panic,) = told["panics"]
    assert panic == f"the run has stopped: {why}; the run goes on after its last committed round when there is room"
    assert told["left"] == []


def _output(command: list[str | Path]) -> str:
    paths = os.environ | {"PYTHONPATH": f"{ROOT / 'app_custom'}{os.pathsep}{ROOT}"}
    return subprocess.run(command, env=paths, capture_output=True, text=True, timeout=120, check=False).stdout
