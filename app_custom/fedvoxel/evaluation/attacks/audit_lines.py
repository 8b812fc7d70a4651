"""An audit's figures as lines of text, for pages and the terminal: nothing of a single patient's scan."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedvoxel.evaluation.attacks.findings import CanaryFinding, Likeness, MembershipFinding, PrivacyAudit, Separation

_DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class AuditLine:
    """Is one line of an audit's table: an attack, what it measured, its value, and what to compare it with."""

    attack: str
    measure: str
    value: str
    beside: str


def verdict(audit: PrivacyAudit) -> str:
    """Says in a sentence what the audit means for the job's claim."""
    found = audit.canaries
    if found is None:
        return "The job protects nobody by a mechanism, so there was no claim to test."
    if found.epsilon_claimed is None:
        return "The job's mechanism adds no noise and claims nothing, so there was no claim to test."
    proved, claimed = f"{found.epsilon_proved:.2f}", f"{found.epsilon_claimed:.2f}"
    if audit.failed:
        return (
            f"FAILED: the canaries prove epsilon >= {proved} at 95 %, and the job claims {claimed}: do not rely on it."
        )
    return (
        f"Nothing refutes the claim: epsilon is proved to be at least {proved}, and is claimed to be at most {claimed}."
    )


def failures(audits: Sequence[PrivacyAudit]) -> tuple[str, ...]:
    """Returns a sentence for each audit that refutes the job's claim."""
    return tuple(f"Privacy audit at {audit.site}: {verdict(audit)}" for audit in audits if audit.failed)


def audit_lines(audit: PrivacyAudit) -> tuple[AuditLine, ...]:
    """Returns the figures of an audit as text, without anything of a single patient's scan."""
    lines: list[AuditLine] = []
    if audit.membership:
        lines += _membership_lines(audit.membership)
    if audit.canaries:
        lines += _canary_lines(audit.canaries)
    if audit.inversion:
        found = audit.inversion
        named = (("no protection", found.unprotected), ("the job's noise", found.protected), ("as sent", found.sent))
        lines += [_inversion_line(name, value, found.patients) for name, value in named if value]
    return tuple(lines)


def _membership_lines(found: MembershipFinding) -> list[AuditLine]:
    attack, initial = f"Membership, {found.members} members, {found.others} others", found.initial
    allowed = found.allowed_at_10_percent
    bound = "" if allowed is None else f"; the claim allows at most {allowed:.2f}"
    return [
        AuditLine(attack, "AUROC of the loss", _auroc(found.model), f"initial model: {_auroc(initial)}; chance: 0.5"),
        AuditLine(
            attack,
            "members found at 10 % false alarms",
            _rate(found.model.rate_at_10_percent, 10),
            f"initial model: {_rate(initial.rate_at_10_percent, 10) if initial else _DASH}; chance: 0.10{bound}",
        ),
        AuditLine(
            attack,
            "members found at 1 % false alarms",
            _rate(found.model.rate_at_1_percent, 100),
            f"initial model: {_rate(initial.rate_at_1_percent, 100) if initial else _DASH}; chance: 0.01",
        ),
    ]


def _canary_lines(found: CanaryFinding) -> list[AuditLine]:
    attack = f"Canaries, {found.canaries} over {found.releases} releases"
    claimed = "nothing" if found.epsilon_claimed is None else f"at most {found.epsilon_claimed:.3f}"
    return [
        AuditLine(
            attack,
            f"epsilon proved, 95 %, delta {found.delta:g}",
            f"at least {found.epsilon_proved:.3f}",
            f"claimed: {claimed}; without assumptions: at least {found.epsilon_proved_by_any_mechanism:.3f}",
        ),
        AuditLine(attack, "AUROC of the released sums", f"{found.auroc:.3f}", "chance: 0.5"),
    ]


def _inversion_line(name: str, value: Likeness, patients: int) -> AuditLine:
    return AuditLine(
        f"Inversion, {name}",
        "correlation with the patient's scan",
        f"{value.ncc:.2f} ({value.margin:+.2f} to the best other patient's)",
        f"rank {value.rank} of {patients}; chance of rank 1: {1 / patients:.2f}",
    )


def _auroc(found: Separation | None) -> str:
    return _DASH if found is None else f"{found.auroc:.3f} ({found.auroc_low:.3f} to {found.auroc_high:.3f})"


def _rate(value: float | None, needed: int) -> str:
    return f"unresolved (fewer than {needed} others)" if value is None else f"{value:.2f}"
