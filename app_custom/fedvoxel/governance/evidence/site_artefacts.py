"""What a hospital's kit holds beside its log: its policy, its privacy budget and ledgers, and who approved the job."""

from dataclasses import dataclass
from typing import Any

from fedvoxel.errors import ConfigError, FedVoxelError, LedgerError
from fedvoxel.governance.approvals import Approvals, has_record
from fedvoxel.governance.audited_files import policy_hash
from fedvoxel.governance.evidence.artefact import Artefact, Source, Verdict, found, missing, unverified, verified
from fedvoxel.governance.evidence.logs import Logs
from fedvoxel.governance.evidence.server_artefacts import policy_facts
from fedvoxel.governance.evidence.subject import Subject
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.site_policy import check_policy
from fedvoxel.privacy.ledger import LEDGER_FILE, open_ledger
from fedvoxel.privacy.ledger_status import LedgerStatus
from fedvoxel.privacy.policy import PRIVACY_FILE, CohortBudget, load_privacy_policy
from fedvoxel.records.audit_event import AuditEvent
from fedvoxel.records.canonical import sha256_of_file

_KINDS = {
    "site_policy": "local/",
    "privacy_policy": f"local/{PRIVACY_FILE}",
    "privacy_ledger": f"state/privacy/{{cohort}}/{LEDGER_FILE}",
    "approvals": "state/approvals/approvals.jsonl",
}


def site_artefacts(subject: Subject, logs: Logs) -> list[Artefact]:
    """Returns what each hospital's kit holds; what was not named is missing."""
    artefacts: list[Artefact] = []
    for name, pseudonym in subject.pseudonyms.items():
        kit = subject.sites.get(name)
        if kit is None:
            why = "no kit of this hospital was named; give it with --site-kit"
            artefacts += [missing(_source(kind, pseudonym), why) for kind in _KINDS]
            continue
        artefacts += _Site(kit, pseudonym, subject, logs).artefacts()
    return artefacts


def _source(kind: str, pseudonym: str, cohort: str = "") -> Source:
    place = _KINDS[kind].format(cohort=cohort or "COHORT")
    return Source(kind, f"{pseudonym}'s kit: {place}", pseudonym, cohort)


@dataclass(frozen=True)
class _Site:
    kit: Kit
    pseudonym: str
    subject: Subject
    logs: Logs

    def artefacts(self) -> list[Artefact]:
        policy = self._policy()
        return [policy, *self._privacy(policy), self._approvals()]

    def _events(self) -> list[AuditEvent]:
        """Returns what the hospital's log says of this run's job."""
        run = self.subject.outcome
        return [event for event in self.logs.events(self.kit.name) if event.job_id == run.job_id]

    def _policy(self) -> Artefact:
        source, sha256 = _source("site_policy", self.pseudonym), policy_hash(self.kit.local)
        named = [event.hashes["policy"] for event in self._events() if "policy" in event.hashes]
        if not named:
            verdict = unverified("the hospital's log, as far as it is at hand, names no policy for this job")
        elif set(named) != {sha256}:
            verdict = unverified("it has changed since: the hospital's log names another for this job")
        else:
            verdict = verified("the hospital's log names this hash as that of the policy in force for this job")
        return found(source, sha256, verdict, policy_facts(self.kit, check_policy(self.kit)))

    def _privacy(self, policy: Artefact) -> list[Artefact]:
        source = _source("privacy_policy", self.pseudonym)
        path = self.kit.local / PRIVACY_FILE
        try:
            privacy = load_privacy_policy(self.kit.local)
        except ConfigError:
            why = "the kit has none that can be read"
            return [missing(source, why), missing(_source("privacy_ledger", self.pseudonym), why)]
        verdict = verified("it is part of the hospital's policy, which is verified")
        if not policy.counts:
            verdict = unverified("the hospital's policy, of which it is part, is not verified")
        used = sorted({event.cohort for event in self._events() if event.cohort in privacy.cohorts})
        facts = {"cohorts": {name: privacy.cohorts[name].model_dump(mode="json") for name in used}}
        budgets = [name for name in used if isinstance(privacy.cohorts[name], CohortBudget)]
        shows = ["privacy_policy", "privacy_budget"] if budgets else ["privacy_policy"]
        return [found(source, sha256_of_file(path), verdict, facts, *shows), *self._ledgers(budgets)]

    def _ledgers(self, budgets: list[str]) -> list[Artefact]:
        if not budgets:
            why = "the hospital's log names no cohort of this job that has a budget"
            return [missing(_source("privacy_ledger", self.pseudonym), why)]
        return [self._ledger(cohort) for cohort in budgets]

    def _ledger(self, cohort: str) -> Artefact:
        source = _source("privacy_ledger", self.pseudonym, cohort)
        path = self.kit.state / "privacy" / cohort / LEDGER_FILE
        if not path.is_file():
            return missing(source, "the cohort has a budget, and there is no ledger: nothing was charged")
        sha256, heads = sha256_of_file(path), [event.hashes.get("ledger_head") for event in self._events()]
        noted = next((head for head in reversed(heads) if head), None)
        try:
            ledger = open_ledger(self.kit.local, self.kit.state, cohort)
            ledger.verify(noted)
            status = ledger.status()
        except (LedgerError, ConfigError):
            return found(source, sha256, unverified("it cannot be trusted; see: fedvoxel privacy verify"))
        facts = _ledger_facts(status, self.subject.outcome.run_key)
        verdict = verified("its chain is unbroken, and the hospital's log names one of its entries for this job")
        if noted is None:
            verdict = unverified("its chain is unbroken, and no log at hand names one of its entries for this job")
        elif facts["this_run"] is None:
            verdict = unverified("its chain is unbroken, and it charges nothing to this run")
        return found(source, sha256, verdict, facts)

    def _approvals(self) -> Artefact:
        source = _source("approvals", self.pseudonym)
        path = self.kit.state / "approvals" / "approvals.jsonl"
        if not has_record(self.kit.state) or not path.is_file():
            return missing(source, "nobody has said anything about a job here, as where no approval is required")
        sha256 = sha256_of_file(path)
        contents = {event.hashes["content"] for event in self._events() if "content" in event.hashes}
        try:
            record = Approvals(self.kit).read(self.subject.now)
        except FedVoxelError:
            return found(source, sha256, unverified("it cannot be trusted, or no revocation list can be relied on"))
        content = next((one for one in contents if one in record.contents), None)
        if content is None:
            return found(source, sha256, unverified("its chain is unbroken, and it says nothing about this job"))
        approved, refused = record.approved_by(content), record.refused_by(content)
        facts = {"content": content, "approved_by_people": len(approved), "refused_by_people": len(refused)}
        return found(source, sha256, _approval_verdict(len(approved), len(refused)), facts)


def _approval_verdict(approved: int, refused: int) -> Verdict:
    if refused or not approved:
        return unverified(f"{approved} people have approved this job's content with a signature, {refused} refused it")
    return verified(f"of people of the hospital who approved this very content, {approved} have signatures that count")


def _ledger_facts(status: LedgerStatus, run_key: str) -> dict[str, Any]:
    run = next((one for one in status.runs if one.run_key == run_key), None)
    return {
        "cohort": status.cohort,
        "unit": status.unit,
        "budget": {"epsilon": status.budget.epsilon, "delta": status.budget.delta},
        "spent": {"epsilon": status.spent_epsilon, "delta": status.spent_delta},
        "remaining": {"epsilon": status.remaining_epsilon, "delta": status.remaining_delta},
        "this_run": run and {"epsilon": run.epsilon, "delta": run.plan.delta, "draws": run.drawn, "sent": run.sent},
        "runs": len(status.runs),
        "gaps": len(status.gaps),
        "entries": status.entries,
        "head": status.head,
    }
