"""What `fedvoxel watch` draws, and how it fails before it has a server."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fedvoxel.cli.main import main
from fedvoxel.cli.watch_view import duration, render
from fedvoxel.ops.progress import Progress, SiteStep, parse_progress
from fedvoxel.ops.snapshot import Snapshot

NOW = 1110.0
JOB = "3c5c62d1-6b7d-4f0e-a1f7-2b1f6d1e8a11"


def _progress(**changes: Any) -> Progress | None:
    values = {
        "round": 3,
        "rounds_planned": 12,
        "phase": "training",
        "started": 1000.0,
        "round_started": 1100.0,
        "round_seconds": [30.0, 30.0, 30.0],
        "sites": {
            "hospital-a": {"state": "training", "reason": None},
            "hospital-b": {"state": "replied", "reason": None},
            "hospital-c": {"state": "missing", "reason": "trainer ended with signal 9 [/red]"},
            "hospital-d": {"state": "evaluation_only", "reason": None},
        },
        "validation": [
            {"round": 0, "mean_dice": 0.4, "sites": {"hospital-a": 0.4}},
            {"round": 1, "mean_dice": 0.81, "sites": {"hospital-a": 0.815}},
            {"round": 2, "mean_dice": 0.79, "sites": {"hospital-a": None}},
        ],
    }
    return parse_progress(values | changes)


def _text(snapshot: Snapshot, width: int = 110) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(render(snapshot, NOW))
    return console.export_text()


def test_shows_rounds_sites_dice_and_time_left() -> None:
    steps = {"hospital-a": SiteStep(step=10, steps=42, loss=0.31), "hospital-b": SiteStep(step=42, steps=42, loss=0.3)}
    lines = _text(Snapshot(JOB, "hippocampus_fedavg", "RUNNING", _progress(), steps)).splitlines()
    assert "hippocampus_fedavg" in lines[0]
    assert JOB in lines[0]
    assert "round 3 (training), 3 of 12 done" in lines[1]
    assert "1 min 50 s so far, about 4 min 20 s left" in lines[2]
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in lines[4:8]}
    assert rows["hospital-a"] == "training 10/42 0.310 0.815"
    assert rows["hospital-b"] == "replied 0.300"
    assert rows["hospital-c"] == "missing trainer ended with signal 9 [/red]"
    assert rows["hospital-d"] == "evaluation only"
    assert "0.790, best 0.810 in round 1" in lines[8]


def test_says_whom_the_round_waits_for_since_when_until_when_and_why() -> None:
    reason = "works on it; slow: 90 s, it usually takes 20 s; until the deadline"
    waits = [{"site": "hospital-a", "since": NOW - 90, "until": NOW + 600, "reason": reason}]
    shown = " ".join(_text(Snapshot(JOB, "j", "RUNNING", _progress(waits=waits)), width=200).split())
    assert f"waiting for hospital-a since 1 min 30 s, 10 min 00 s more at most: {reason}" in shown


def test_says_that_the_time_left_is_not_known_yet() -> None:
    shown = _text(Snapshot(JOB, "j", "RUNNING", _progress(round=0, round_seconds=[], validation=[])))
    assert "time left known after the first round" in shown
    assert "validation" not in shown


@pytest.mark.parametrize(("phase", "said"), [("test", "testing on unseen cases"), ("done", "so far, done")])
def test_after_the_last_round(phase: str, said: str) -> None:
    shown = _text(Snapshot(JOB, "j", "RUNNING", _progress(round=11, phase=phase)))
    assert "12 of 12 done" in shown
    assert said in shown


def test_a_job_that_waits_says_why() -> None:
    assert "Waiting to start. not enough sites" in _text(Snapshot(JOB, "j", "SUBMITTED", note="not enough sites"))
    assert "its first round has not begun" in _text(Snapshot(JOB, "j", "RUNNING"))
    assert "begun" not in _text(Snapshot(JOB, "j", "RUNNING", note="FLARE is closing it"))


def test_a_finished_job_says_how_to_see_its_outcome() -> None:
    shown = " ".join(_text(Snapshot(JOB, "j", "FINISHED:COMPLETED")).split())
    assert "FLARE ended the job as FINISHED:COMPLETED, which is not the outcome" in shown
    assert f"download_job {JOB}" in shown


@pytest.mark.parametrize(
    ("following", "note", "said"),
    [
        (
            "",
            "until its sites are connected again",
            "The next job of its run waits until its sites are connected again.",
        ),
        (
            "",
            "since the server's disk is too full",
            "The next job of its run waits since the server's disk is too full.",
        ),
        ("", None, "The next job of its run waits for the server"),
        ("4711", None, "as job 4711"),
        ("", "Logging in again: cannot log in", "The job was interrupted. Logging in again: cannot log in"),
    ],
)
def test_an_interrupted_job_says_how_its_run_goes_on(following: str, note: str | None, said: str) -> None:
    snapshot = Snapshot("3c5c62d1", "spleen", "FINISHED:ABNORMAL", resumed_as=following, note=note)
    text = " ".join(_text(snapshot).split())
    assert "was interrupted" in text and said in text and "download_job" not in text


def test_a_run_that_was_interrupted_says_which_attempt_this_is() -> None:
    assert "attempt 3" in _text(Snapshot("3c5c62d1", "spleen", "RUNNING", _progress(attempts=3)))


def test_fits_a_narrow_terminal() -> None:
    assert max(len(line) for line in _text(Snapshot(JOB, "j", "RUNNING", _progress()), width=60).splitlines()) <= 60


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599.9, "1 h 00 min"), (7500, "2 h 05 min")],
)
def test_durations_are_for_people(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_refuses_a_folder_that_is_no_kit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", JOB, "--kit", str(tmp_path)]) == 8
    streams = capsys.readouterr()
    assert "is not a startup kit: expected a folder startup/" in streams.err
    assert streams.out == ""


def test_refuses_a_kit_that_names_no_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "startup").mkdir()
    (tmp_path / "startup" / "fed_admin.json").write_text(json.dumps({"admin": {}}), encoding="utf-8")
    assert main(["watch", JOB, "--kit", str(tmp_path)]) == 8
    assert "does not say where the server is" in capsys.readouterr().err


def test_drawing_needs_no_flare() -> None:
    program = "import sys, fedvoxel.cli.watch, fedvoxel.cli.watch_view; sys.exit('nvflare' in sys.modules)"
    root = Path(__file__).resolve().parents[2] / "app_custom"
    assert subprocess.run([sys.executable, "-c", program], cwd=root, timeout=60, check=False).returncode == 0
