"""The audit logs of server and hospitals: verified, held against one another, and asked what they say of hashes."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fedvoxel.errors import ConfigError
from fedvoxel.governance.audit_report import LogReport, hold_together, log_file, verify_log
from fedvoxel.governance.evidence.artefact import Artefact, Source, Verdict, found, missing, unverified, verified
from fedvoxel.governance.evidence.subject import Subject
from fedvoxel.governance.kit import Kit
from fedvoxel.records.audit_event import AuditEvent, HashName
from fedvoxel.records.canonical import sha256_of_file

_PLACE = "state/audit/audit.jsonl"


@dataclass(frozen=True)
class Logs:
    """Is what was found in the logs that are at hand.

    Attributes:
        server: The server's; None where there is none.
        sites: The hospitals', by name, of those that have one.
    """

    server: LogReport | None
    sites: dict[str, LogReport]

    @property
    def held(self) -> int:
        """Is how many hospitals' logs agree with the server's."""
        return sum(1 for report in self.sites.values() if not report.flaws)

    def events(self, site: str = "") -> Iterator[AuditEvent]:
        """Yields what a log says that can be trusted: of the server's, only what a hospital has signed for."""
        report = self.sites.get(site) if site else self.server
        if report is not None and not report.flaws:
            signed_for = len(report.entries) if site else report.checked.covered
            yield from (event for entry, event in report.checked.lines if entry.index < signed_for)

    def cohorts(self, job_id: str) -> set[str]:
        """Returns which cohorts the hospitals' logs say that a job was about."""
        said = (event for site in self.sites for event in self.events(site))
        return {event.cohort for event in said if event.job_id == job_id and event.cohort}

    def job_of(self, outcome: str) -> str | None:
        """Returns the job whose result has this hash, as the server's log says."""
        return next((event.job_id for event in self.events() if event.hashes.get("outcome") == outcome), None)

    def names(self, name: HashName, sha256: str, site: str = "", job_id: str = "") -> bool:
        """Says whether a log that can be trusted names something by its hash.

        Args:
            name: What the hash is of.
            sha256: The hash.
            site: Whose log; the server's where empty.
            job_id: The job that it has to be said of; any where empty.
        """
        return any(
            event.hashes.get(name) == sha256 and job_id in ("", event.job_id) and event.outcome != "refused"
            for event in self.events(site)
        )


def read_logs(subject: Subject) -> Logs:
    """Verifies every log that is at hand, and holds the hospitals' against the server's."""
    server = _report(subject.server, subject)
    sites = {name: _report(kit, subject) for name, kit in subject.sites.items()}
    there = {name: report for name, report in sites.items() if report is not None}
    whole = [report for report in there.values() if report.entries and report.checked.keeper not in ("", "server")]
    if server is not None and server.entries and server.checked.keeper == "server" and whole:
        hold_together(server, whole)
    return Logs(server, there)


def log_artefacts(subject: Subject, logs: Logs) -> list[Artefact]:
    """Returns the server's log and that of each hospital of the run."""
    source = Source("server_audit_log", f"server's kit: {_PLACE}")
    artefacts = [_log(source, subject.server, logs.server, subject, _server_verdict(logs))]
    for name, pseudonym in subject.pseudonyms.items():
        source = Source("site_audit_log", f"{pseudonym}'s kit: {_PLACE}", pseudonym)
        kit = subject.sites.get(name)
        if kit is None:
            artefacts.append(missing(source, "no kit of this hospital was named; give it with --site-kit"))
            continue
        artefacts.append(_log(source, kit, logs.sites.get(name), subject, _site_verdict(name, logs)))
    return artefacts


def _report(kit: Kit, subject: Subject) -> LogReport | None:
    try:
        return verify_log(log_file(kit.folder), subject.trust, None, subject.now)
    except ConfigError:
        return None


def _log(source: Source, kit: Kit, report: LogReport | None, subject: Subject, verdict: Verdict) -> Artefact:
    if report is None:
        return missing(source, "the kit has no audit log")
    return found(source, sha256_of_file(log_file(kit.folder)), verdict, _facts(report, subject))


def _server_verdict(logs: Logs) -> Verdict:
    report = logs.server
    if report is None or report.flaws:
        return _flawed(report)
    if not report.checked.signatures:
        return unverified("its chain is unbroken, and no hospital has signed for it")
    held = f"; held against the logs of {logs.held} hospitals" if logs.held else ""
    signed = f"hospitals have signed for {report.checked.covered} of {len(report.entries)} entries"
    return verified(f"its chain is unbroken, and {signed}{held}")


def _site_verdict(name: str, logs: Logs) -> Verdict:
    report = logs.sites.get(name)
    if report is None or report.flaws:
        return _flawed(report)
    if logs.server is None or logs.server.flaws:
        return unverified("its chain is unbroken, and there is no log of the server that it could be held against")
    return verified("its chain is unbroken, and it was held against the server's log")


def _flawed(report: LogReport | None) -> Verdict:
    flaws = report.flaws if report else []
    first = f"; the first: {flaws[0].code} at line {flaws[0].line}" if flaws else ""
    return unverified(f"it cannot be trusted, {len(flaws)} findings{first}; see: fedvoxel audit verify")


def _facts(report: LogReport, subject: Subject) -> dict[str, Any]:
    checked, names = report.checked, subject.pseudonyms
    ours = [event for _, event in checked.lines if subject.of_this_run(event.run_key, event.job_id)]
    return {
        "entries": len(report.entries),
        "head": report.head,
        "first": report.entries[0].at if report.entries else None,
        "last": report.entries[-1].at if report.entries else None,
        "entries_signed_for": checked.covered,
        "signatures": checked.signatures,
        "signed_for_by_site": {
            pseudonym: checked.signed_by[site] for site, pseudonym in names.items() if site in checked.signed_by
        },
        "not_signed": dict(sorted(checked.not_signed.items())),
        "accepted_gaps": len(checked.accepted),
        "cohorts": {event.cohort: event.hashes["cohort"] for event in ours if "cohort" in event.hashes},
        "of_this_run": dict(sorted(Counter(f"{event.kind} {event.outcome}" for event in ours).items())),
    }
