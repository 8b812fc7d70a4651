"""A server's and two sites' audit logs of a made-up run, countersigned as in a real one; and forgers of them."""

import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedvoxel.export.trust import Trust
from fedvoxel.governance.countersigning import Answer, Question, countersign, question_for, taken
from fedvoxel.governance.log_notes import ServerNotes, SiteNotes
from fedvoxel.records.audit import AUDIT_FILE, AuditLog, FollowedLog
from fedvoxel.records.audit_event import AuditEvent, HashName
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import HEAD_FILE, Entry, next_entry
from fedvoxel.records.identity import Identity
from tests.export.throwaway_root import NOW, Root

SITES = ("hospital-a", "hospital-b")
RUN, JOB = "a_run", "job-1"


def sha(number: int) -> str:
    """Returns something that looks like a hash."""
    return f"{number:064x}"


def said(kind: str, outcome: str = "done", **values: Any) -> AuditEvent:
    """Returns an event of the made-up run."""
    return AuditEvent.model_validate({"kind": kind, "outcome": outcome, "run_key": RUN, "job_id": JOB, **values})


class MadeUpRun:
    """Is a run of which server and sites keep logs under one folder: `server`, `hospital-a`, `hospital-b`."""

    def __init__(self, folder: Path) -> None:
        """Starts with empty logs."""
        self.folder, self.root = folder, Root()
        self.trust = Trust(self.root.certificate)
        self.identities: dict[str, Identity] = {site: self.root.issue(site, None) for site in SITES}
        self.server = AuditLog(folder / "server")
        self.sites = {site: AuditLog(folder / site) for site in SITES}

    def begin(self) -> None:
        """Records the beginning of the run."""
        self.server.record([said("job"), said("run", "started", hashes={"model": sha(100)})])
        for site in SITES:
            self.sites[site].record([said("job", site=site)])

    def round(self, index: int, present: Sequence[str] = SITES) -> None:
        """Records a round with the sites that are present, and has them countersign."""
        for site in present:
            update: dict[HashName, str] = {"answer": sha(index * 10 + SITES.index(site))}
            self.sites[site].record([said("answer", task="train", round=index, site=site, hashes=update)])
        received = [
            said("answer", task="train", round=index, site=site, hashes={"update": sha(index * 10 + place)})
            if site in present
            else said("answer", "missing", task="train", round=index, site=site, reason="lost its connection")
            for place, site in enumerate(SITES)
        ]
        models = {"model_before": sha(100 + index), "model": sha(101 + index)}
        self.server.record([*received, said("round", round=index, hashes=models)])
        self.sign(index, present)

    def sign(self, index: int, present: Sequence[str] = SITES) -> dict[str, AuditEvent]:
        """Has sites countersign the server's log as it stands, and returns what the server records of each."""
        asked = {site: self.question(site, index) for site in present}
        answers = {site: self.answer(site, question) for site, question in asked.items()}
        events = {site: taken(asked[site], answers[site], site, JOB, self.trust, NOW) for site in present}
        self.server.record(list(events.values()))
        return events

    def question(self, site: str, index: int) -> Question:
        """Returns what the server shows to a site."""
        return question_for(FollowedLog(self.server, ServerNotes).noted(), [site], RUN, index)

    def answer(self, site: str, question: Question) -> Answer:
        """Returns what a site says to it."""
        return countersign(FollowedLog(self.sites[site], SiteNotes), self.identities[site], question, JOB, lambda: NOW)

    def file(self, keeper: str) -> Path:
        """Returns the file of a log."""
        return self.folder / keeper / "audit" / AUDIT_FILE


def made_up_run(folder: Path, rounds: int = 3) -> MadeUpRun:
    """Returns a run of so many rounds, all countersigned by both sites."""
    run = MadeUpRun(folder)
    run.begin()
    for index in range(rounds):
        run.round(index)
    return run


def rewrite(file: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    """Forges a log as its keeper could: changes what its entries say, and works out all hashes and the head anew."""
    made: list[Entry] = []
    entries = Chain(file).read()
    times = [datetime.fromisoformat(entry.at).astimezone(UTC) for entry in entries]
    for place, body in enumerate(change([entry.body for entry in entries])):
        made.append(next_entry(made[-1] if made else None, body, times[min(place, len(times) - 1)]))
    file.write_bytes(b"".join(entry.line + b"\n" for entry in made))
    file.with_name(HEAD_FILE).write_bytes(made[-1].line + b"\n")


def copied(run: MadeUpRun, keeper: str, folder: Path) -> Path:
    """Returns the file of a copy of a log, to be tampered with."""
    shutil.copytree(run.folder / keeper / "audit", folder / keeper / "audit")
    return folder / keeper / "audit" / AUDIT_FILE
