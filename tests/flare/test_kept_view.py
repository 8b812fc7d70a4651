"""A run's view lies beside its record while the run goes on, and what keeps it never stands in the run's way."""

import errno
import time
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConfigError
from fedvoxel.federation.outcome import RunOutcome
from fedvoxel.flare import kept_view
from fedvoxel.flare.kept_view import VIEW_FILE, keeping_view, read_view
from fedvoxel.ops.progress import parse_progress
from fedvoxel.records import atomic
from tests.flare.test_controller import run_sites, well_behaved


def test_the_view_is_written_when_it_changes_and_as_it_was_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_view, "LOOK_EVERY_S", 0.01)
    looked: list[int] = []

    def shown() -> dict[str, Any]:
        looked.append(len(looked))
        return {"round": len(looked) // 3} if len(looked) > 1 else {}

    with keeping_view(tmp_path, "job-1", shown):
        while len(looked) < 4:
            time.sleep(0.01)
        first = read_view(tmp_path)
    last = read_view(tmp_path)
    assert first and last and first.job_id == last.job_id == "job-1"
    assert first.view["round"] <= last.view["round"] == len(looked) // 3 and first.at <= last.at


def test_nothing_is_kept_before_there_is_something_to_show(tmp_path: Path) -> None:
    with keeping_view(tmp_path, "job-1", dict):
        pass
    assert read_view(tmp_path) is None


def test_a_view_that_cannot_be_written_is_no_matter_to_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def put_in_place(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic, "_put_in_place", put_in_place)
    with keeping_view(tmp_path, "job-1", lambda: {"round": 1}):
        pass
    with keeping_view(tmp_path, "job-1", lambda: {"loss": float("nan")}):
        pass
    assert not (tmp_path / VIEW_FILE).exists() and caplog.text.count("view_not_kept") == 2


def test_a_damaged_view_is_an_error(tmp_path: Path) -> None:
    (tmp_path / VIEW_FILE).write_text("damaged")
    with pytest.raises(ConfigError, match="the run's view"):
        read_view(tmp_path)


def test_a_real_controller_leaves_a_view_that_a_watcher_reads(tmp_path: Path) -> None:
    outcome = run_sites(tmp_path, dict.fromkeys(("hospital-a", "hospital-b"), well_behaved))
    assert isinstance(outcome, RunOutcome) and outcome.status == "finished"
    kept = read_view(tmp_path / "state" / "runs" / "a_run")
    assert kept and kept.job_id == "job-1"
    progress = parse_progress(kept.view)
    assert progress and progress.rounds_planned == 2 and len(progress.round_seconds) == 2
    assert set(progress.sites) == {"hospital-a", "hospital-b"}
