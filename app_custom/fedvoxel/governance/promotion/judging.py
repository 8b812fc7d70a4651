"""Holds a package against a policy: every gate, in the order of the table, and what a release then says of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedvoxel.errors import ReleaseGateError
from fedvoxel.export.promotion import PromotionEvidence
from fedvoxel.export.reader_gate import ReaderStudyGate
from fedvoxel.export.trust import Trust
from fedvoxel.federation.reader_study.requirement import ReaderStudyRequirement
from fedvoxel.governance.promotion.candidate import Candidate
from fedvoxel.governance.promotion.gate import Gate
from fedvoxel.governance.promotion.handed_in import Fault, HandedIn
from fedvoxel.governance.promotion.hospital_gates import faults_of, hospital_gates, newest_of
from fedvoxel.governance.promotion.policy import PromotionPolicy
from fedvoxel.governance.promotion.privacy_gates import audit_faults, privacy_gates


@dataclass(frozen=True)
class Judged:
    """Is what came of all gates.

    Attributes:
        gates: Each, in order.
        evidence: What a release says of them; None while one is red.
    """

    gates: tuple[Gate, ...]
    evidence: PromotionEvidence | None


def judge(policy: PromotionPolicy, candidate: Candidate, handed_in: HandedIn, trust: Trust, study: Gate) -> Judged:
    """Holds a package against a policy.

    Args:
        policy: What is asked.
        candidate: The package, and what is released now.
        handed_in: What hospitals have signed.
        trust: Whose signatures count.
        study: The gate of the reader study; see `study_gate`.
    """
    faults = [
        *handed_in.faults,
        *faults_of(policy, candidate, handed_in.evaluations),
        *audit_faults(policy, candidate, handed_in.audits),
    ]
    bad = {fault.number for fault in faults}
    evaluations = [one for one in handed_in.evaluations if one.number not in bad]
    audits = [one for one in handed_in.audits if one.number not in bad]
    newest = newest_of(evaluations)
    gates = (
        *_first_gates(policy, candidate, trust),
        _reports(len(evaluations) + len(audits), faults),
        *hospital_gates(policy, candidate, newest),
        *privacy_gates(policy, candidate, audits),
        study,
    )
    if not all(gate.green for gate in gates):
        return Judged(gates, None)
    counted = [report.sha256 for reports in newest.values() for report in reports] + [one.sha256 for one in audits]
    evidence = PromotionEvidence(
        policy=policy.sha256,
        against=candidate.against,
        hospitals=len(newest),
        reports=tuple(sorted(set(counted))),
    )
    return Judged(gates, evidence)


def study_gate(gate: ReaderStudyGate, package: str, of_index: ReaderStudyRequirement | None) -> Gate:
    """Holds the result of a reader study, where one is asked for or brought, against what is asked.

    Args:
        gate: The result, and what the policy asks.
        package: Identity of the package.
        of_index: What the index requires of every release.

    Raises:
        ConfigError: The result cannot be read, or nothing says what is asked of it.
    """
    required = of_index or gate.required
    asked = "nothing"
    if required is not None:
        asked = f"{required.minimum_hospitals} hospitals, {required.minimum_cases} cases"
    try:
        found = gate.evidence(package, of_index)
    except ReleaseGateError as problem:
        return Gate("reader study", asked, str(problem), False)
    return Gate("reader study", asked, found.words if found else "none", found is not None or required is None)


def _first_gates(policy: PromotionPolicy, candidate: Candidate, trust: Trust) -> tuple[Gate, Gate]:
    known = "none: nobody knows whose certificate was revoked; give it with --crl" if trust.crl is None else "consulted"
    return (
        Gate("model", policy.model, candidate.name, policy.model == candidate.name),
        Gate("revocation list", "the consortium's", known, trust.crl is not None),
    )


def _reports(count: int, faults: Sequence[Fault]) -> Gate:
    found = f"{count} count" + "".join(f"; {fault}" for fault in faults)
    return Gate("reports", "each one that is handed in counts", found, not faults)
