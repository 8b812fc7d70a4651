"""What a job would cost a hospital of its patients' privacy, before the hospital takes part. Spends nothing.

Reads the job, the hospital's policy, its ledgers and its lists of cases, and decides as the site itself would when the
job begins: the run is granted as many rounds, and then spare draws, as the budget covers, or none. A cohort that is
really too small is a refusal here alone: a site that declined a job for it would tell how many patients it has. Opens
no scan.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fedvoxel.errors import ConfigError, FedVoxelError
from fedvoxel.flare.cohort_size import check_declared_size, training_patients
from fedvoxel.flare.job_args import FedAvgArgs
from fedvoxel.flare.job_claim import JobClaim, claim_of_job
from fedvoxel.flare.job_kinds import JobContent
from fedvoxel.flare.patient_promises import promise_problems
from fedvoxel.privacy.ledger import Ledger, open_ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.policy import CohortBudget, PrivacyPolicy, load_privacy_policy
from fedvoxel.privacy.sections import PatientMechanismConfig
from fedvoxel.privacy.simulation import plan_of, simulate
from fedvoxel.privacy.spending import planned_epsilon
from fedvoxel.volumes.shared_patients import cohorts_sharing
from fedvoxel.volumes.site import SITE_FILE, SiteConfig, load_site_config


@dataclass(frozen=True)
class JobCost:
    """Is what a job costs whoever takes part in all of it.

    Attributes:
        claim: What the job gives, and through which channels it could fail.
        rounds: How many it plans.
        plan: What each site's ledger would be told; None for a job without a privacy section.
        epsilon: What all planned rounds and spare draws cost at `plan.delta`; None without a plan, infinite without
            noise.
        epsilon_of_one_round: What a single round would cost by itself.
    """

    claim: JobClaim
    rounds: int
    plan: RunPlan | None
    epsilon: float | None
    epsilon_of_one_round: float | None

    @property
    def spare_draws(self) -> int:
        """Is how many draws it plans beyond its rounds."""
        return self.plan.draws - self.rounds if self.plan else 0


@dataclass(frozen=True)
class Decision:
    """Is what one hospital's policy and ledgers would do with a job.

    Attributes:
        cohort: The cohort that the job names.
        verdict: "fits" for all planned rounds, "cut" where the site stops after `rounds`, "refused" for none at all.
        rounds: Rounds that the site would answer, those already answered included.
        reason: Why it is refused, or what is worth knowing.
        charged: The cohorts whose ledgers pay.
        left: Epsilon that is left in the scarcest of these ledgers.
        most_rounds: Rounds of this kind that `left` would cover in a new run with as many spare draws.
        spare_draws: Draws beyond `rounds` that the budget covers, of those that the job plans.
    """

    cohort: str
    verdict: Literal["fits", "cut", "refused"]
    rounds: int
    reason: str | None = None
    charged: tuple[str, ...] = ()
    left: float | None = None
    most_rounds: int | None = None
    spare_draws: int = 0


def cost_of_job(content: JobContent) -> JobCost:
    """Returns what a job costs for all its planned rounds and spare draws.

    Raises:
        ConfigError: The job trains nothing, so that it has no rounds.
    """
    server = content.server
    if not isinstance(server, FedAvgArgs):
        raise ConfigError("the job trains nothing: it answers to no budget, and a protected cohort takes no part in it")
    claim = claim_of_job(content.folder, server)
    rounds = server.rounds.num_rounds
    if server.privacy is None:
        return JobCost(claim, rounds, None, None, None)
    plan = plan_of(server.privacy, rounds)
    one = planned_epsilon(plan.model_copy(update={"draws": 1}))
    return JobCost(claim, rounds, plan, planned_epsilon(plan), one)


def decide(content: JobContent, cost: JobCost, kit: Path) -> Decision:
    """Returns what a hospital would do with the job.

    Args:
        content: The job.
        cost: What it costs.
        kit: The hospital's kit, of which only local/ and state/ are read.

    Raises:
        LedgerError: A ledger cannot be read or trusted.
    """
    cohort, local = content.client.cohort, kit / "local"
    try:
        policy = load_privacy_policy(local)
        entry = policy.of(cohort)
        if cost.plan is None:
            return _unprotected(entry.unit, cohort, cost.rounds)
        policy.budget(cohort)
        site = load_site_config(local / SITE_FILE)
        _check_patients(content, site, policy, local)
        also = cohorts_sharing(site, cohort, local)
    except FedVoxelError as problem:
        return Decision(cohort, "refused", 0, str(problem))
    names = (cohort, *(name for name in also if name in policy.budgets()))
    ledgers = tuple(open_ledger(local, kit / "state", name) for name in names)
    return _charged(content, cost.plan, cost.spare_draws, ledgers)


def _unprotected(unit: str, cohort: str, rounds: int) -> Decision:
    if unit not in ("none", "public"):
        reason = f"cohort {cohort!r} is protected (unit {unit!r}), and the job has no privacy section"
        return Decision(cohort, "refused", 0, reason)
    said = "no formal guarantee, as the policy has decided" if unit == "none" else "the policy declares it public"
    return Decision(cohort, "fits", rounds, f"cohort {cohort!r}: {said}; nothing is counted")


def _check_patients(content: JobContent, site: SiteConfig, policy: PrivacyPolicy, local: Path) -> None:
    """Checks that the promise can be kept here, and that the cohort is large enough for the job.

    Raises:
        ConfigError: It is not.
    """
    cohort, section = content.client.cohort, getattr(content.server, "privacy", None)
    problems = promise_problems(site, policy, cohort, local)
    if problems:
        raise ConfigError("; ".join(problems))
    if isinstance(section, PatientMechanismConfig) and isinstance(policy.of(cohort), CohortBudget):
        check_declared_size(local, cohort, section)
        PatientMechanism(section).check_cohort(training_patients(site, cohort, local))


def _charged(content: JobContent, plan: RunPlan, spare: int, ledgers: tuple[Ledger, ...]) -> Decision:
    # Not one of the run's own rounds, so that a run that has begun is asked for one more draw.
    run_key, beyond = content.server.model_dump()["run_key"], plan.draws
    left, cohort = min(ledger.status().remaining_epsilon for ledger in ledgers), content.client.cohort
    names, most = tuple(ledger.cohort for ledger in ledgers), simulate(plan, left, spare).most_rounds
    try:
        granted = min(ledger.check_draw(run_key, "simulation", beyond, plan) for ledger in ledgers)
    except FedVoxelError as problem:
        return Decision(cohort, "refused", 0, str(problem), names, left, most)
    rounds = min(granted, plan.draws - spare)
    verdict: Literal["fits", "cut"] = "cut" if granted < plan.draws - spare else "fits"
    return Decision(cohort, verdict, rounds, None, names, left, most, granted - rounds)
