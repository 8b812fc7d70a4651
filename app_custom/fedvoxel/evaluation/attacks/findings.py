"""What an audit found, as `audit.json` holds it: figures over a hospital's patients, never one patient's.

Reading it needs neither torch nor an accountant.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.privacy.guarantee import PrivacyUnit

AUDIT_FILE = "audit.json"
"""The name of the findings in an audit's folder."""

Share = Annotated[float, Field(ge=0, le=1)]
Correlation = Annotated[float, Field(ge=-1.000001, le=1.000001)]


class Separation(FrozenModel):
    """Says how well a model's loss tells this hospital's members from its others.

    Attributes:
        auroc: Probability that a member has the lower loss; 0.5 is chance, 1 gives everybody away.
        auroc_low: Lower end of its 95 % interval.
        auroc_high: Upper end.
        rate_at_10_percent: Share of members found at 10 % false alarms; None with fewer than ten others.
        rate_at_1_percent: Likewise at 1 %; None with fewer than a hundred others.
    """

    auroc: Share
    auroc_low: Share
    auroc_high: Share
    rate_at_10_percent: Share | None
    rate_at_1_percent: Share | None


class MembershipFinding(FrozenModel):
    """Says whether one can tell from the released model who was trained on.

    Attributes:
        members: Training patients of this hospital.
        others: Its test patients, whom nobody trained on.
        model: The released model.
        initial: The model that the run began with, for which nobody is a member yet: how far the two groups differ by
            chance; None where it is not known.
        allowed_at_10_percent: Share of members that the claimed guarantee allows anybody to find at 10 % false alarms;
            None without a guarantee for each patient.
    """

    members: PositiveInt
    others: PositiveInt
    model: Separation
    initial: Separation | None
    allowed_at_10_percent: Share | None
    seconds: NonNegativeFloat


class CanaryFinding(FrozenModel):
    """Says what canaries prove about a mechanism, beside what it claims.

    Attributes:
        unit: Whose place a canary took.
        canaries: Their number.
        releases: Noisy steps (patient) or rounds (hospital) that they went through.
        delta: Of the claim.
        epsilon_claimed: Upper bound from the accountant; None where the mechanism adds no noise.
        epsilon_proved: Lower bound at 95 %, the larger of two.
        epsilon_proved_by_any_mechanism: Lower bound that assumes nothing of the mechanism (Steinke et al. 2023).
        auroc: How well the released sums tell canaries that were in from others.
        rate_at_1_percent: Share of canaries found at 1 % false alarms.
        rate_at_10_percent: Likewise at 10 %.
    """

    unit: PrivacyUnit
    canaries: PositiveInt
    releases: PositiveInt
    delta: Annotated[float, Field(gt=0, lt=1)]
    epsilon_claimed: NonNegativeFloat | None
    epsilon_proved: NonNegativeFloat
    epsilon_proved_by_any_mechanism: NonNegativeFloat
    auroc: Share
    rate_at_1_percent: Share | None
    rate_at_10_percent: Share | None
    seconds: NonNegativeFloat = 0.0

    @property
    def refutes_the_claim(self) -> bool:
        """Says whether more leaked than is claimed."""
        return self.epsilon_claimed is not None and self.epsilon_proved > self.epsilon_claimed


class Likeness(FrozenModel):
    """Says how like a reconstruction is to the patient's scan, and to those of the hospital's other patients.

    Attributes:
        ncc: Normalised cross-correlation with the patient's scan, -1 to 1.
        margin: That minus the largest with another patient; well above 0 the patient is recognised.
        rank: Place of the patient among the hospital's patients, 1 the most similar.
    """

    ncc: Correlation
    margin: float
    rank: PositiveInt


class InversionFinding(FrozenModel):
    """Says what an attacker could reconstruct of one patient's scan.

    Attributes:
        patients: Patients among whom the reconstruction is ranked.
        nearest_other: Correlation of the patient's scan with the most similar other patient's: scans that are aligned
            look alike, which is why a correlation alone says little.
        size: Voxels (X, Y, Z) of the part of the scan that was reconstructed.
        unprotected: From a plain gradient of this patient alone.
        protected: From that gradient as the job's mechanism would release it, this patient alone in the step; None
            where the job does not protect each patient.
        sent: From what the hospital sent; None where that is not known.
        sent_is: What was attacked as "sent", or why nothing was.
        seconds: Duration.
    """

    patients: PositiveInt
    nearest_other: Correlation
    size: tuple[PositiveInt, PositiveInt, PositiveInt]
    unprotected: Likeness
    protected: Likeness | None
    sent: Likeness | None
    sent_is: str
    seconds: NonNegativeFloat


class PrivacyAudit(FrozenModel):
    """Is a whole audit, as `audit.json` holds it.

    Attributes:
        site: The hospital that ran it on its own patients.
        privacy: What the run claims, in words.
        membership: Membership inference; None where it could not be done.
        canaries: One-run audit; None without a mechanism.
        inversion: Gradient inversion; None where it could not be done.
        skipped: Why a part could not be done.
    """

    schema_version: Literal[1] = 1
    run_key: str
    job_id: str
    job_name: str
    site: str
    privacy: str
    seed: int
    membership: MembershipFinding | None
    canaries: CanaryFinding | None
    inversion: InversionFinding | None
    skipped: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Says whether the audit refutes the job's claim."""
        return self.canaries is not None and self.canaries.refutes_the_claim


def load_audit(path: Path) -> PrivacyAudit:
    """Reads an audit's findings.

    Raises:
        ConfigError: The file is missing, is not JSON, or is no audit of a version that this package knows.
    """
    return load_json_config(PrivacyAudit, path, "the privacy audit")
