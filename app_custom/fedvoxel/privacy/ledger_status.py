"""What a privacy ledger says when it is asked: budget, spent, left, and each run's part."""

from collections.abc import Sequence
from dataclasses import dataclass

from fedvoxel.privacy.guarantee import PrivacyUnit
from fedvoxel.privacy.ledger_entries import Gap, RunPlan
from fedvoxel.privacy.ledger_run import Run
from fedvoxel.privacy.policy import CohortBudget
from fedvoxel.privacy.spending import planned_epsilon, spending_of
from fedvoxel.records.chain_entry import Entry


@dataclass(frozen=True)
class RunSpending:
    """Is one run's part.

    Attributes:
        run_key: The run's key.
        plan: What it declared.
        epsilon: What all its planned draws cost at `plan.delta`; charged whole.
        drawn: Draws reserved so far, those lost to crashes included.
        kept: Of these, how many were noised and kept.
        sent: Of these, how many left the site at least once.
        closed: Whether it may take no more draws because entries were lost since it began.
    """

    run_key: str
    plan: RunPlan
    epsilon: float
    drawn: int
    kept: int
    sent: int
    closed: bool


@dataclass(frozen=True)
class LedgerStatus:
    """Is what one cohort's ledger adds up to.

    Attributes:
        cohort: The cohort.
        unit: Who is protected.
        budget: What the site's policy grants.
        spent_epsilon: Sum over runs and gaps; may pass the budget when the policy was tightened or a gap recorded.
        spent_delta: Likewise.
        runs: In the order of their first draw.
        gaps: What persons answer for.
        entries: Number of entries.
        head: Hash of the last entry, to be noted outside; None for an empty ledger.
    """

    cohort: str
    unit: PrivacyUnit
    budget: CohortBudget
    spent_epsilon: float
    spent_delta: float
    runs: tuple[RunSpending, ...]
    gaps: tuple[Gap, ...]
    entries: int
    head: str | None

    @property
    def remaining_epsilon(self) -> float:
        """Is what is left of epsilon, never below 0."""
        return max(0.0, self.budget.epsilon - self.spent_epsilon)

    @property
    def remaining_delta(self) -> float:
        """Is what is left of delta, never below 0."""
        return max(0.0, self.budget.delta - self.spent_delta)


def status_of(cohort: str, budget: CohortBudget, entries: Sequence[Entry]) -> LedgerStatus:
    """Returns what the entries of a cohort's ledger add up to.

    Raises:
        LedgerError: The entries are not those of a privacy ledger.
    """
    spending = spending_of(entries)
    return LedgerStatus(
        cohort=cohort,
        unit=budget.unit,
        budget=budget,
        spent_epsilon=spending.epsilon,
        spent_delta=spending.delta,
        runs=tuple(_run_spending(key, run) for key, run in spending.runs.items()),
        gaps=tuple(spending.gaps),
        entries=len(entries),
        head=entries[-1].hash if entries else None,
    )


def _run_spending(run_key: str, run: Run) -> RunSpending:
    return RunSpending(
        run_key=run_key,
        plan=run.plan,
        epsilon=planned_epsilon(run.plan),
        drawn=len(run.releases),
        kept=sum(release.kept is not None for release in run.releases),
        sent=sum(release.times_sent > 0 for release in run.releases),
        closed=run.closed,
    )
