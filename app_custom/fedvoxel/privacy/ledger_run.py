"""One run as a ledger knows it: what it declared, its draws, and what it may not do."""

from dataclasses import dataclass, field

from fedvoxel.errors import BudgetExceededError, LedgerError
from fedvoxel.privacy.ledger_entries import Kept, Reserved, RunPlan


@dataclass(frozen=True)
class Reservation:
    """Says that noise may be drawn once, for one round of one run; made by `Ledger.reserve`, which has charged it."""

    release_id: str
    run_key: str
    job_id: str
    round: int
    plan: RunPlan


@dataclass
class Release:
    """Is one draw: reserved, then perhaps kept, then perhaps sent, perhaps more than once."""

    reserved: Reserved
    kept: Kept | None = None
    times_sent: int = 0


@dataclass
class Run:
    """Is what a ledger knows of one run.

    Attributes:
        plan: What the run declared at its first draw, with as many draws as were granted.
        planned: How many draws it declared.
        releases: Its draws so far, kept or not.
        closed: Entries were lost since it began, so that nobody knows how many draws it has left: none.
    """

    plan: RunPlan
    planned: int
    releases: list[Release] = field(default_factory=list)
    closed: bool = False

    @property
    def declared(self) -> RunPlan:
        """Is the plan as the run declared it."""
        return self.plan.model_copy(update={"draws": self.planned})


def check_plan(run_key: str, run: Run, plan: RunPlan) -> None:
    """Refuses a draw that the run did not plan.

    Raises:
        LedgerError: The plan is another than at the run's first draw.
        BudgetExceededError: All planned draws are used.
    """
    if run.closed:
        raise LedgerError(
            f"run {run_key} began before entries of the ledger were lost, so that nobody can count its draws any more; "
            "start a new run, with a run key of its own"
        )
    check_declared(run_key, run, plan)
    if len(run.releases) >= run.plan.draws < run.planned:
        raise BudgetExceededError(
            f"the site's budget granted run {run_key} {run.plan.draws} of the {run.planned} releases that it planned, "
            "and they are used; the run goes on without this site"
        )
    if len(run.releases) >= run.plan.draws:
        raise BudgetExceededError(
            f"run {run_key} planned {run.plan.draws} releases and has used them, those lost to crashes included; "
            "start a new run, with spare_draws in its privacy section for what may be lost"
        )


def check_declared(run_key: str, run: Run, plan: RunPlan) -> None:
    """Refuses another plan than the run declared, for a new draw and for one that is sent again.

    Raises:
        LedgerError: It is another.
    """
    if plan != run.declared:
        changed = [name for name in RunPlan.model_fields if getattr(plan, name) != getattr(run.declared, name)]
        raise LedgerError(
            f"run {run_key} declared another {' and '.join(changed)} at its first release; a run's privacy parameters "
            "are fixed: start a new run, with a run key of its own"
        )
