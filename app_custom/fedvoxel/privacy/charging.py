"""What a site's policy lets its ledger take on: whose it is, and one more draw."""

import secrets

from fedvoxel.config import parse_config
from fedvoxel.errors import BudgetExceededError, ConfigError
from fedvoxel.privacy.events import MAX_COUNT
from fedvoxel.privacy.ledger_entries import MAX_DRAWS, Opened, Reserved, RunPlan
from fedvoxel.privacy.policy import CohortBudget
from fedvoxel.privacy.spending import Spending, planned_epsilon


def opening(spending: Spending, cohort: str, budget: CohortBudget) -> Opened | None:
    """Adds, and returns, the entry with which a ledger opens or goes on under a changed budget; None if it need not.

    Raises:
        LedgerError: The ledger is about another cohort or unit.
        ConfigError: The cohort's name cannot name a folder.
    """
    granted = {"cohort": cohort, **budget.model_dump(include={"unit", "epsilon", "delta"})}
    if spending.opened and spending.opened.model_dump(include=set(granted)) == granted:
        return None
    opened = parse_config(Opened, {**granted, **spending.unchanged()}, f"the ledger of cohort {cohort!r}")
    spending.add(opened)
    return opened


def check_unit(plan: RunPlan, budget: CohortBudget, cohort: str) -> None:
    """Checks that a run protects whom the policy protects.

    Raises:
        ConfigError: It protects another unit.
    """
    if plan.unit != budget.unit:
        raise ConfigError(
            f"cohort {cohort}: the site's policy protects each {budget.unit}, but the run's mechanism protects each "
            f"{plan.unit}; use a mechanism for the {budget.unit}"
        )


def new_draw(run_key: str, job_id: str, round_index: int, plan: RunPlan) -> Reserved:
    """Returns a new draw's entry, under a new id; what is spent with it is added by `charge`.

    Raises:
        ConfigError: The run key, job or round is not usable.
    """
    names = {"release_id": secrets.token_hex(16), "run_key": run_key, "job_id": job_id, "round": round_index}
    declared = {"event": plan.event, "planned": plan.draws, "draws": plan.draws, "job_delta": plan.delta}
    return parse_config(Reserved, {**names, **declared, "spent_epsilon": 0, "spent_delta": 0}, "the reservation")


def charge(spending: Spending, draft: Reserved, budget: CohortBudget, cohort: str) -> Reserved:
    """Adds one draw, if the budget covers it, and returns its entry.

    Args:
        spending: What the ledger adds up to; to be thrown away where this raises.
        draft: The draw with as many draws as the run planned; at a run's first, as many of them as the budget covers
            beside all that is spent are granted.
        budget: What the site's policy grants.
        cohort: The cohort's name.

    Raises:
        BudgetExceededError: The budget does not cover it, or the run has used its draws.
        LedgerError: The run has changed its plan.
    """
    before_epsilon, before_delta = spending.epsilon, spending.delta
    run = spending.runs.get(draft.run_key)
    draws = run.plan.draws if run else _granted(spending, draft, budget)
    reserved = draft.model_copy(update={"draws": draws})
    spending.add(reserved)
    if spending.epsilon > budget.epsilon or spending.delta > budget.delta:
        cost = _cost(spending.runs[reserved.run_key].plan)
        raise BudgetExceededError(
            f"cohort {cohort}: {cost}; epsilon {before_epsilon:.3f} and delta {before_delta:g} are spent, and the "
            f"site's budget is epsilon {budget.epsilon:g} and delta {budget.delta:g}; plan more noise or a smaller "
            "delta (see: fedvoxel privacy simulate)"
        )
    return reserved.model_copy(update={"spent_epsilon": spending.epsilon, "spent_delta": spending.delta})


def most_draws(plan: RunPlan, wanted_epsilon: float) -> int:
    """Returns the largest number of draws that a run may plan and whose epsilon does not pass `wanted_epsilon`.

    It is 0 if one is too many.
    """
    most = min(MAX_DRAWS, MAX_COUNT // plan.event.count)

    def fits(draws: int) -> bool:
        return planned_epsilon(plan.model_copy(update={"draws": draws})) <= wanted_epsilon

    enough, too_many = 0, 1
    while too_many <= most and fits(too_many):
        enough, too_many = too_many, too_many * 2
    too_many = min(too_many, most + 1)
    while too_many - enough > 1:
        middle = (enough + too_many) // 2
        enough, too_many = (middle, too_many) if fits(middle) else (enough, middle)
    return enough


def _granted(spending: Spending, draft: Reserved, budget: CohortBudget) -> int:
    """Returns how many of a new run's planned draws the budget covers; 1 where it covers none, and is refused."""
    plan, left = spending.plan_of(draft), budget.epsilon - spending.epsilon
    if planned_epsilon(plan) <= left:
        return plan.draws
    return max(1, most_draws(plan, left))


def _cost(plan: RunPlan) -> str:
    releases = "a single release of the run costs" if plan.draws == 1 else f"the run's {plan.draws} releases cost"
    return f"{releases} epsilon {planned_epsilon(plan):.3f} at delta {plan.delta:g}"
