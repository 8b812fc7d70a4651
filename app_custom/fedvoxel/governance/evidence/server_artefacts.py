"""What the server's kit holds beside its log: its policy, its record of incidents, its ledger of private updates."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fedvoxel.errors import ConsortiumError, LedgerError
from fedvoxel.governance.audited_files import policy_hash
from fedvoxel.governance.evidence.artefact import Artefact, Source, Verdict, found, missing, unverified, verified
from fedvoxel.governance.evidence.subject import Subject
from fedvoxel.governance.finding import Finding
from fedvoxel.governance.incidents.incident import Incident
from fedvoxel.governance.incidents.incident_log import RECORD, IncidentLog
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.site_policy import check_policy
from fedvoxel.privacy.server_ledger import SERVER_LEDGER_FILE
from fedvoxel.privacy.server_record import ServerRun, verify_server
from fedvoxel.records.canonical import sha256_of_file


def server_artefacts(subject: Subject) -> list[Artefact]:
    """Returns policy, incidents and ledger."""
    return [_policy(subject.server), _incidents(subject), _ledger(subject)]


def policy_facts(kit: Kit, findings: list[Finding]) -> dict[str, Any]:
    """Returns what a pack says of a kit's policy: how its check ended, and each file's hash."""
    files = [*sorted(kit.local.glob("*.json")), *sorted(kit.local.glob("*.json.default"))]
    levels = [finding.level for finding in findings]
    return {
        "errors": levels.count("error"),
        "warnings": levels.count("warning"),
        "files": {path.name: sha256_of_file(path) for path in files if path.name != "fedvoxel_site.json"},
    }


def _policy(kit: Kit) -> Artefact:
    source = Source("server_policy", "server's kit: local/")
    if not kit.local.is_dir():
        return missing(source, "the kit has no folder local/")
    findings = check_policy(kit)
    wrong = sum(finding.level == "error" for finding in findings)
    if wrong:
        verdict = unverified(f"fedvoxel site check finds {wrong} errors in it")
    else:
        verdict = verified("fedvoxel site check finds no error in it as it stands now; no log names it")
    return found(source, policy_hash(kit.local), verdict, policy_facts(kit, findings))


def _incidents(subject: Subject) -> Artefact:
    path = subject.server.state / RECORD
    source = Source("incidents", f"server's kit: state/{RECORD}")
    if not path.is_file():
        return missing(source, "the server has none, as where nobody has declared an incident")
    sha256 = sha256_of_file(path)
    try:
        incidents = IncidentLog(subject.server).read(subject.now)
    except (LedgerError, ConsortiumError):
        return found(source, sha256, unverified("it cannot be trusted; see: fedvoxel incident list"))
    shows = "incidents_handled" if any(not one.is_open for one in incidents) else source.kind
    return found(source, sha256, _incidents_verdict(incidents), _incident_facts(incidents), shows)


def _incidents_verdict(incidents: Sequence[Incident]) -> Verdict:
    if not all(said.counts for one in incidents for said in one.said):
        return unverified("its chain is unbroken, and somebody has signed in it whose certificate no longer counts")
    return verified("its chain is unbroken, and each statement is signed by somebody with the right to make it")


def _incident_facts(incidents: Sequence[Incident]) -> dict[str, Any]:
    """Returns what they were in number and kind, without a word that somebody wrote."""
    return {
        "open": sum(one.is_open for one in incidents),
        "closed": sum(not one.is_open for one in incidents),
        "by_kind": Counter(one.said[0].statement.kind for one in incidents),
        "by_severity": Counter(one.severity for one in incidents),
        "done": Counter(said.statement.word for one in incidents for said in one.said),
    }


def _ledger(subject: Subject) -> Artefact:
    source = Source("server_ledger", f"server's kit: state/privacy/{SERVER_LEDGER_FILE}")
    path = subject.server.state / "privacy" / SERVER_LEDGER_FILE
    if not path.is_file():
        return missing(source, "the kit has none, as where no run under a guarantee took place")
    sha256 = sha256_of_file(path)
    try:
        record = verify_server(subject.server.state)
    except LedgerError:
        return found(source, sha256, unverified("it cannot be trusted; see: fedvoxel privacy verify"))
    run = record.runs.get(subject.outcome.run_key, ServerRun())
    facts = {
        "entries": record.entries,
        "head": record.head,
        "contradictions": len(record.problems),
        "updates_received_of_this_run": len(run.received),
        "models_released_of_this_run": len(run.released),
    }
    return found(source, sha256, _ledger_verdict(len(record.problems)), facts)


def _ledger_verdict(problems: int) -> Verdict:
    if problems:
        return unverified(f"its chain is unbroken, and {problems} entries contradict one another")
    return verified("its chain is unbroken, and no entry contradicts another")
