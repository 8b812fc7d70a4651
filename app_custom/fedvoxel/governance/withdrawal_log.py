"""What the server's audit log proves for a certificate of withdrawal: which model stood before which round.

A kept model is certified only if the log, whose chain holds, names its hash as the model before that round, and if a
hospital other than the leaving one has countersigned the log from there on. So neither a file that was put in its place
nor a record that was changed can have another model certified.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from fedvoxel.errors import ConfigError, LedgerError
from fedvoxel.export.trust import Trust
from fedvoxel.governance.audit_check import Line
from fedvoxel.governance.audit_report import verify_log
from fedvoxel.governance.withdrawal_certificate import LogHead, LogPlace, LostRun
from fedvoxel.records.audit import AUDIT_FILE
from fedvoxel.records.audit_event import AuditEvent


@dataclass(frozen=True)
class ServerLog:
    """Is a server's log that was verified; `read_server_log` makes it.

    Attributes:
        lines: Its lines; none where the server has no log.
        not_signed: Lines, from 1, with a signature that does not count.
    """

    lines: tuple[Line, ...]
    not_signed: frozenset[int]

    @property
    def head(self) -> LogHead | None:
        """Is the log as it stands."""
        return LogHead(entries=len(self.lines), head=self.lines[-1][0].hash) if self.lines else None

    def models(self, jobs: Collection[str], first: int) -> set[str]:
        """Returns the hashes of all models that jobs have made from a round on, that round's own included.

        What a later round began with is one of them too, whether the log has the round that made it or not.
        """
        made = {sha256 for _, index, sha256 in self._committed(jobs) if index >= first}
        for _, event in self.lines:
            if event.job_id in jobs and event.kind == "release" and (event.round or 0) >= first:
                made.add(event.hashes.get("model", ""))
        later = (event for _, event in self._rounds(jobs) if (event.round or 0) > first)
        return (made | {event.hashes.get("model_before", "") for event in later}) - {""}

    def place(self, jobs: Collection[str], index: int, sha256: str, leaver: str) -> LogPlace:
        """Returns where the log first names a model as the one before a round of a run, and who has signed that.

        Args:
            jobs: The run's.
            index: The round.
            sha256: Of the model.
            leaver: The site that leaves; its own signature does not count for this.

        Raises:
            ConfigError: The log does not name it as that, or no other hospital has signed the log from there on.
        """
        closed = [event for _, event in self._rounds(jobs) if event.round == index]
        if any(event.hashes.get("model_before") != sha256 for event in closed):
            raise ConfigError("the server's log does not name it as that")
        for entry, event in self.lines:
            after = event.kind == "round" and event.round == index - 1 and event.outcome == "done"
            begun = event.kind == "run" and event.outcome in ("started", "resumed")
            if event.job_id in jobs and (after or begun) and event.hashes.get("model") == sha256:
                signed = {site: head for site, head in self._signed(entry.index + 1) if site != leaver}
                if not signed:
                    raise ConfigError(
                        "no other hospital has countersigned the server's log since: run any training job with one, "
                        "at the end of which it signs the log as a whole, and try again"
                    )
                return LogPlace(entries=entry.index + 1, head=entry.hash, countersigned=signed)
        raise ConfigError("the server's log does not name it as that")

    def answered_from(self, site: str, jobs: Collection[str]) -> int | None:
        """Returns the first committed round of a run in which an answer of a site was taken; None where none was."""
        return self._first(jobs, self._answers(site))

    def trained_from(self, site: str, jobs: Collection[str]) -> int | None:
        """Returns the first committed round of a run whose model holds an update of a site; None where none does."""
        return self._first(jobs, (answer for answer in self._answers(site) if "update" in answer.hashes))

    def lost_runs(
        self, site: str, known: Collection[str], held: Collection[str], maybe: Collection[str] = ()
    ) -> tuple[LostRun, ...]:
        """Returns the runs of which nothing but the log is left and whose models hold updates of a site, or may.

        Args:
            site: The site.
            known: The jobs of all runs that are left.
            held: Hashes of the models of these that hold updates of the site; a run may have begun with one.
            maybe: The same of those of which that cannot be said.
        """
        found, all_held, all_maybe = list[LostRun](), set(held), set(maybe)
        for run_key, begun in self._runs():
            # Not the whole run where one of its jobs is known: another that took its key may have gone on under it.
            lost = {job: model for job, model in begun.items() if job not in known}
            if not lost:
                continue
            jobs = tuple(lost)
            first = 0 if lost[jobs[0]] in all_held else self.trained_from(site, jobs)
            models = self.models(jobs, first) if first is not None else set()
            others = self.models(jobs, 0) - models if lost[jobs[0]] in all_maybe else set()
            all_held |= models
            all_maybe |= others
            if models or others:
                said = {"contaminated": tuple(sorted(models)), "may_hold": tuple(sorted(others))}
                found.append(LostRun(run_key=run_key, jobs=jobs, **said))
        return tuple(found)

    def _runs(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yields each run's key and, by job, what that began with, in the order in which the runs and jobs began."""
        runs, newest = list[tuple[str, dict[str, str]]](), dict[str, dict[str, str]]()
        for _, event in self.lines:
            if event.kind != "run" or event.outcome not in ("started", "resumed"):
                continue
            if event.outcome == "started" or event.run_key not in newest:
                newest[event.run_key] = {}
                runs.append((event.run_key, newest[event.run_key]))
            newest[event.run_key].setdefault(event.job_id, event.hashes.get("model", ""))
        yield from runs

    def _first(self, jobs: Collection[str], answers: Iterable[AuditEvent]) -> int | None:
        committed = {(job, index) for job, index, _ in self._committed(jobs)}
        rounds = ((answer.job_id, answer.round or 0) for answer in answers)
        return min((one[1] for one in rounds if one in committed), default=None)

    def _committed(self, jobs: Collection[str]) -> Iterator[tuple[str, int, str]]:
        """Yields job, round and model of what was committed; of a round that the log lacks, the next attempt tells."""
        model = ""
        answered: tuple[str, int] | None = None
        for _, event in self.lines:
            said = event.hashes.get("model", "")
            if event.job_id not in jobs:
                continue
            if event.kind == "answer" and event.task == "train" and event.round is not None:
                answered = event.job_id, event.round
            elif event.kind == "round" and event.outcome == "done":
                yield event.job_id, event.round or 0, said
                model, answered = said, None
            elif event.kind == "run" and event.outcome in ("started", "resumed"):
                if event.outcome == "resumed" and answered and said != model:
                    yield *answered, said
                model, answered = said, None

    def _rounds(self, jobs: Collection[str]) -> Iterator[Line]:
        for line in self.lines:
            if line[1].kind == "round" and line[1].outcome == "done" and line[1].job_id in jobs:
                yield line

    def _answers(self, site: str) -> Iterator[AuditEvent]:
        for _, event in self.lines:
            if (event.kind, event.task, event.outcome, event.site) == ("answer", "train", "done", site):
                yield event

    def _signed(self, entries: int) -> Iterator[tuple[str, LogHead]]:
        """Yields who has signed at least so many entries, newest first: a mapping keeps each one's oldest."""
        for entry, event in reversed(self.lines):
            good = event.kind == "countersignature" and event.outcome == "done" and event.signature is not None
            if good and (event.log_entries or 0) >= entries and entry.index + 1 not in self.not_signed:
                yield event.site, LogHead(entries=event.log_entries or 0, head=event.hashes["log_head"])


def read_server_log(state: Path, root: x509.Certificate, now: datetime) -> ServerLog:
    """Reads and verifies the log in a server's state; an empty one where there is none.

    A signature that does not count, such as one under a former root, proves nothing and is left out.

    Raises:
        LedgerError: The log cannot be trusted.
    """
    file = state / "audit" / AUDIT_FILE
    if not file.is_file():
        return ServerLog((), frozenset())
    report = verify_log(file, Trust(root), None, now)
    flaws = [flaw for flaw in report.flaws if flaw.code != "unsigned"]
    if flaws:
        raise LedgerError(
            f"the server's log cannot be trusted, and nothing is certified by it: {flaws[0].text}; see `fedvoxel audit "
            "verify`"
        )
    return ServerLog(tuple(report.checked.lines), frozenset(flaw.line for flaw in report.flaws))
