"""What is guaranteed of a package, and what hospitals' attacks have proved about its run."""

from collections.abc import Iterator, Sequence

from fedvoxel.evaluation.attacks.findings import CanaryFinding, PrivacyAudit
from fedvoxel.governance.promotion.candidate import Candidate
from fedvoxel.governance.promotion.gate import Gate
from fedvoxel.governance.promotion.handed_in import Fault, Report
from fedvoxel.governance.promotion.policy import PromotionPolicy
from fedvoxel.privacy.guarantee import NO_GUARANTEE, rounded_up

Audit = Report[PrivacyAudit]


def audit_faults(policy: PromotionPolicy, candidate: Candidate, audits: Sequence[Audit]) -> list[Fault]:
    """Returns why audits do not count; empty where all do."""
    found = [(audit, _why_not(policy, candidate, audit)) for audit in audits]
    return [Fault(audit.number, f"its privacy audit {why}") for audit, why in found if why]


def privacy_gates(policy: PromotionPolicy, candidate: Candidate, audits: Sequence[Audit]) -> Iterator[Gate]:
    """Yields whether what is guaranteed, and what audits proved, is what the policy asks.

    Args:
        policy: What is asked.
        candidate: The package.
        audits: Those that count.
    """
    asked, given = policy.privacy, candidate.guarantee
    words = f"(ε = {rounded_up(given.epsilon)}, δ = {given.delta:g}) for each {given.unit}" if given else NO_GUARANTEE
    kept = asked is None or (
        given is not None and given.unit == asked.unit and given.epsilon <= asked.epsilon and given.delta <= asked.delta
    )
    wanted = f"(ε ≤ {asked.epsilon:g}, δ ≤ {asked.delta:g}) for each {asked.unit}" if asked else "nothing"
    yield Gate("privacy guarantee", wanted, words, kept)
    refuting = sorted({audit.organisation for audit in audits if _refutes(candidate, audit.told.canaries)})
    holding = {audit.organisation for audit in audits} - set(refuting)
    found = f"{len(holding)} hospitals" + (f"; more leaks than is claimed: {', '.join(refuting)}" if refuting else "")
    wanted = f"no more proved than claimed, at {policy.privacy_audits} hospitals or more"
    yield Gate("privacy audits", wanted, found, not refuting and len(holding) >= policy.privacy_audits)


def _why_not(policy: PromotionPolicy, candidate: Candidate, audit: Audit) -> str | None:
    who, told, origin = audit.organisation or "no organisation", audit.told, candidate.origin
    if who not in policy.hospitals:
        return f"is signed by somebody of {who}, which the policy does not name"
    if origin is None or (told.run_key, told.job_id) != (origin.run_key, origin.job_id):
        return "is about another run than the package's"
    if told.canaries is None or told.canaries.epsilon_claimed is None:
        return "has no canaries that were held against a claim"
    return None


def _refutes(candidate: Candidate, canaries: CanaryFinding | None) -> bool:
    """Says whether more was proved than the audited job claims, or than the package does for the same unit."""
    if canaries is None:
        return False
    given = candidate.guarantee
    own = given is not None and given.unit == canaries.unit and canaries.epsilon_proved > given.epsilon
    return canaries.refutes_the_claim or own
