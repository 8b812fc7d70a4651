"""Whether a site would accept a job, from the site's own kit on this machine: policy, rights, and cases per split."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from cryptography.x509.oid import NameOID

from fedvoxel.errors import FedVoxelError
from fedvoxel.flare.job_args import ReadArgs, WatchArgs
from fedvoxel.flare.job_kinds import JobContent
from fedvoxel.governance.job_policy import policy_reasons, read_policy
from fedvoxel.governance.kit import Kit
from fedvoxel.privacy.policy import CohortBudget, load_privacy_policy
from fedvoxel.privacy.spare_draws import spare_granted
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.pem import certificate_in

_RIGHT_SUBMIT = "submit_job"
_RIGHT_CODE = "byoc"


@dataclass(frozen=True)
class Submitter:
    """Is who would submit the job, as sites see it."""

    name: str = "someone@elsewhere.example"
    organisation: str = "elsewhere"
    role: str = "lead"


@dataclass(frozen=True)
class Verdict:
    """Says whether one site would accept a job.

    Attributes:
        site: The site's name.
        accepted: Whether it would.
        reasons: Why not, or what else is worth knowing.
        details: What the site says of itself: cases, versions.
        trains: Whether it has training cases; None where that is not known.
        waits: Whether it would as far as anybody knows, once people of the hospital have approved the job.
    """

    site: str
    accepted: bool
    reasons: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    trains: bool | None = None
    waits: bool = False

    def as_json(self) -> dict[str, Any]:
        """Returns the verdict as a JSON-like mapping."""
        return asdict(self)


def submitter_of(kit: Kit) -> Submitter:
    """Returns whom a person's kit is for, as its certificate says."""
    subject = certificate_in(kit.certificate.read_bytes()).subject
    roles = subject.get_attributes_for_oid(NameOID.UNSTRUCTURED_NAME)
    return Submitter(kit.name, kit.organisation, str(roles[0].value) if roles else "")


def judge_code(kit: Kit, submitter: Submitter) -> Verdict:
    """Says what a site would do with a job that holds code; FedVoxel refuses such a job in any case."""
    reasons = _right_reasons(kit, submitter, (_RIGHT_SUBMIT, _RIGHT_CODE))
    return Verdict(kit.name, False, tuple(reasons) or ("this site would let code in; set byoc to none",))


def judge(content: JobContent, kit: Kit, submitter: Submitter) -> Verdict:
    """Says whether the kit's owner would accept the job; for a site, after reading every case of its cohort."""
    reasons = policy_reasons(content.folder, kit) + _right_reasons(kit, submitter, (_RIGHT_SUBMIT,))
    sites = content.folder.meta.sites
    if kit.kind != "site":
        return Verdict(kit.name, not reasons, tuple(reasons))
    if sites is not None and kit.name not in sites:
        reasons.append("the job's deploy_map does not name this site")
    try:
        if isinstance(content.client, ReadArgs):
            return Verdict(kit.name, not reasons, (*reasons, *_reading(content.client, kit)))
        if isinstance(content.client, WatchArgs):
            return Verdict(kit.name, not reasons, (*reasons, *_watch(content.client, kit)))
        details = _cases(content, kit)
        refused, notes = _privacy(content, kit)
    except FedVoxelError as problem:
        return Verdict(kit.name, False, (*reasons, str(problem)))
    if not any(details["usable"].values()):
        reasons.append(f"no usable case in cohort {content.client.cohort!r} ({details['refused']} refused)")
    reasons += refused
    notes += [] if details["usable"]["training"] else ["no training case: this site would only evaluate"]
    return Verdict(kit.name, not reasons, (*reasons, *notes), details, bool(details["usable"]["training"]))


def quorum_problem(content: JobContent, verdicts: Sequence[Verdict]) -> str | None:
    """Returns why too few sites would take part, or None if enough would.

    Args:
        content: The job.
        verdicts: What every site said that the job would go to.
    """
    accepting = [verdict.site for verdict in verdicts if verdict.accepted]
    training = [verdict.site for verdict in verdicts if verdict.accepted and verdict.trains]
    needed, starts = content.updates_needed, content.folder.meta.min_clients
    absent = sorted(set(content.folder.meta.mandatory_clients) - set(accepting))
    if len(accepting) < starts:
        return f"{len(accepting)} of {len(verdicts)} sites would accept the job, it starts with {starts}"
    if len(training) < needed:
        return f"{len(training)} of {len(verdicts)} sites would train, a round needs {needed}"
    return f"{', '.join(absent)} must take part (mandatory_clients) and would not" if absent else None


def _right_reasons(kit: Kit, submitter: Submitter, rights: tuple[str, ...]) -> list[str]:
    from nvflare.fuel.sec.authz import AuthzContext, Person, parse_policy_config
    from nvflare.security.security import COMMAND_CATEGORIES

    try:
        policy, problem = parse_policy_config(read_policy(kit, "authorization.json"), COMMAND_CATEGORIES)
    except FedVoxelError as error:
        return [str(error)]
    if policy is None:
        return [f"local/authorization.json cannot be used: {problem}; see: fedvoxel site check"]
    person = Person(submitter.name, submitter.organisation, submitter.role)
    refused = [
        right for right in rights if not policy.evaluate(kit.organisation, AuthzContext(right, person, person))[0]
    ]
    who = f"{submitter.role} {submitter.name}"
    return [f"local/authorization.json: {who} has no right {right} here" for right in refused]


def _cases(content: JobContent, kit: Kit) -> dict[str, Any]:
    from fedvoxel.flare.patient_promises import check_promises
    from fedvoxel.volumes.check import check_cohort
    from fedvoxel.volumes.site import SITE_FILE, load_site_config

    asked = content.client
    report = check_cohort(load_site_config(kit.local / SITE_FILE), asked.cohort, asked.classes, kit.local)
    load_privacy_policy(kit.local).of(asked.cohort)
    check_promises(kit.local, asked.cohort)
    return {
        "usable": dict(report.usable_per_split),
        "refused": len(report.refused),
        "refused_per_reason": report.refused_per_reason,
    }


def _reading(asked: ReadArgs, kit: Kit) -> list[str]:
    """Returns what a reader study would be told by the site."""
    from fedvoxel.flare.reader_study_site import told_of

    told = told_of(kit.local, asked)
    return [f"it would tell: {canonical_json(told.model_dump(mode='json')).decode()}"]


def _watch(asked: WatchArgs, kit: Kit) -> list[str]:
    """Returns what a drift watch would be told by the site."""
    from fedvoxel.flare.drift_watch_site import telling

    told = telling(kit.local, kit.state, asked).answer
    return [f"it would tell: {canonical_json(told.model_dump(mode='json')).decode()}"]


def _privacy(content: JobContent, kit: Kit) -> tuple[list[str], list[str]]:
    """Returns why the site's policy and budget would refuse the job, and what else is worth knowing about them.

    Raises:
        ConfigError: The cohort is protected, and the job trains nothing; or the policy has no entry for it.
        LedgerError: The ledger cannot be trusted.
    """
    entry = load_privacy_policy(kit.local).of(content.client.cohort)
    if not isinstance(entry, CohortBudget) and getattr(content.server, "privacy", None) is None:
        return [], []
    # The accountant behind it takes a second to import, which other jobs are spared.
    from fedvoxel.flare.job_cost import cost_of_job, decide

    cost = cost_of_job(content)
    decision = decide(content, cost, kit.folder)
    if decision.verdict == "refused":
        return [decision.reason or "its privacy policy refuses the job"], []
    covered = f"{decision.rounds} of {cost.rounds} rounds{spare_granted(decision.spare_draws, cost.spare_draws)}"
    return [], [f"its privacy budget covers {covered} (see: fedvoxel privacy simulate)"]
