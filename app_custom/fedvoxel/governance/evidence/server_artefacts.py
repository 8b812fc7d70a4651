"""What the server's kit holds beside its log: its policy, and its ledger of what it received under a guarantee."""

from typing import Any

from fedvoxel.errors import LedgerError
from fedvoxel.governance.audited_files import policy_hash
from fedvoxel.governance.evidence.artefact import Artefact, Source, Verdict, found, missing, unverified, verified
from fedvoxel.governance.evidence.subject import Subject
from fedvoxel.governance.finding import Finding
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.site_policy import check_policy
from fedvoxel.privacy.server_ledger import SERVER_LEDGER_FILE
from fedvoxel.privacy.server_record import ServerRun, verify_server
from fedvoxel.records.canonical import sha256_of_file


def server_artefacts(subject: Subject) -> list[Artefact]:
    """Returns policy and ledger."""
    return [_policy(subject.server), _ledger(subject)]


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
