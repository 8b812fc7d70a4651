"""An attempt that cannot even begin: it stops where that passes, and else it and its run end with the true reason."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from fedvoxel.errors import ConfigError, LockedError
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.flare import controller, outcome_files, round_journal
from fedvoxel.flare.round_journal import JournalEntry, RoundJournal
from fedvoxel.flare.run_journal import RunJournal
from fedvoxel.records.atomic import write_bytes
from tests.flare.test_controller import GOOD, Answer, panics_of, run_sites, well_behaved

ANSWERS = dict.fromkeys(GOOD, well_behaved)
RUN = "state/runs/a_run"
FULL = "the server could not write its files (No space left on device)"
ROOM = f"{FULL}; the run goes on after its last committed round when there is room"


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def dies_after(rounds: int, folder: Path, answers: dict[str, Answer] = ANSWERS, **job: Any) -> None:
    """Runs the job until its process dies, right after that many rounds are in the journal."""
    written = RoundJournal.write

    def dies(self: RoundJournal, entry: JournalEntry, *state: Any) -> JournalEntry:
        made = written(self, entry, *state)
        if state and made.committed == rounds:
            raise KeyboardInterrupt
        return made

    with pytest.MonkeyPatch.context() as dying:
        dying.setattr(RoundJournal, "write", dies)
        with pytest.raises(KeyboardInterrupt):
            panics_of(folder, answers, **job)


def said(folder: Path, place: str) -> RunOutcome:
    return load_outcome(folder / place / OUTCOME_FILE)


def test_a_first_attempt_without_room_for_its_journal_has_failed_and_its_outcome_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunJournal, "begin", full)
    assert panics_of(tmp_path, ANSWERS) == [f"the run failed: {FULL}"]
    assert (said(tmp_path, "job-1").status, said(tmp_path, "job-1").reason) == ("failed", FULL)


def test_a_first_attempt_of_whose_entry_one_copy_was_written_goes_on(tmp_path: Path) -> None:
    def full_for_the_copy(path: Path, content: bytes, mode: int) -> None:
        write_bytes(path, content, mode) if path.name == "journal.json" else full()

    with pytest.MonkeyPatch.context() as disk:
        disk.setattr(round_journal, "write_bytes", full_for_the_copy)
        assert panics_of(tmp_path, ANSWERS) == [f"the run has stopped: {ROOM}"]
    assert said(tmp_path, "job-1").status == said(tmp_path, RUN).status == "unfinished"
    outcome = run_sites(tmp_path, ANSWERS, job_id="job-2")
    assert outcome.status == "finished" and [attempt.job_id for attempt in outcome.attempts] == ["job-1", "job-2"]


def test_a_later_attempt_without_room_to_begin_leaves_the_run_to_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies_after(1, tmp_path)
    monkeypatch.setattr(RunJournal, "begin", full)
    assert panics_of(tmp_path, ANSWERS, job_id="job-2") == [f"the run has stopped: {ROOM}"]
    assert (said(tmp_path, "job-2").status, said(tmp_path, "job-2").reason) == ("unfinished", ROOM)
    entry = RoundJournal(tmp_path / RUN / "journal").read()
    assert entry and entry.ended == "unfinished"


def test_an_attempt_that_has_stopped_has_not_failed_where_its_outcome_finds_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(*_: object) -> None:
        raise LockedError("journal.json is locked")

    dies_after(1, tmp_path)
    monkeypatch.setattr(RunJournal, "begin", locked)
    monkeypatch.setattr(outcome_files, "write_outcome", full)
    assert panics_of(tmp_path, ANSWERS, job_id="job-2") == [f"the run has stopped: {ROOM}"]


def wrong(*_: object) -> None:
    raise ConfigError("privacy.sites is 1, and 2 sites are in this job")


def test_what_does_not_pass_ends_the_run_of_an_attempt_that_could_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies_after(1, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(controller, "server_privacy", wrong)
        assert panics_of(tmp_path, ANSWERS, job_id="job-2") == [
            "the run failed: privacy.sites is 1, and 2 sites are in this job"
        ]
    entry = RoundJournal(tmp_path / RUN / "journal").read()
    assert entry and (entry.ended, entry.committed) == ("failed", 1), "nobody begins it again in vain"
    for place in (RUN, "job-2"):
        ended = said(tmp_path, place)
        assert (ended.status, ended.rounds_committed, len(ended.rounds)) == ("failed", 1, 1)
        assert "privacy.sites is 1" in str(ended.reason) and ended.job_id == "job-2"
    outcome = run_sites(tmp_path, ANSWERS, job_id="job-3")
    assert (outcome.status, [attempt.first_round for attempt in outcome.attempts]) == ("finished", [0, 1])


def test_a_resumed_run_that_a_site_is_missing_from_fails_with_the_rounds_that_it_has(tmp_path: Path) -> None:
    away, job = "hospital-z", {"contribution": {"method": "leave_one_out", "evaluators": ["hospital-z"]}}
    dies_after(1, tmp_path, ANSWERS | {away: well_behaved}, **job)
    (panic,) = panics_of(tmp_path, ANSWERS, job_id="job-2", **job)
    assert "the run failed" in panic and away in panic
    for place in (RUN, "job-2"):
        ended = said(tmp_path, place)
        assert (ended.status, ended.rounds_committed, len(ended.rounds)) == ("failed", 1, 1)
        assert [attempt.job_id for attempt in ended.attempts] == ["job-1", "job-2"]
    everybody = ANSWERS | {away: well_behaved}
    assert run_sites(tmp_path, everybody, job_id="job-3", **job).status == "finished", "submitted again, with the site"
