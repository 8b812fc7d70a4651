"""Charges one draw to every ledger whose patients it is about, before anything is trained.

A patient may be in several cohorts of one hospital, each with a ledger of its own. A run on one of them costs that
patient the same in all of them, so it is reserved in all of them. It is kept and sent by the trained cohort's ledger
alone: in the others it stands as drawn and never kept.

A cohort may come to share a patient only after a round was drawn. It is then charged before the round is sent again. It
knows nothing of runs that ended before: whoever moves patients into a cohort answers for those with `record_gap`.
"""

from collections.abc import Sequence

from fedvoxel.privacy.ledger import Ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.ledger_run import Reservation


def reserve_jointly(
    ledger: Ledger, also: Sequence[Ledger], run_key: str, job_id: str, round_index: int, plan: RunPlan
) -> Reservation:
    """Reserves one draw in all ledgers, in the order of their cohorts' names, and returns the first one's reservation.

    All are asked before any is charged. If one refuses all the same, because another run came in between, what was
    reserved before it stays charged: that is never less than what was drawn.

    Args:
        ledger: The ledger of the cohort that is trained on.
        also: The ledgers of the cohorts that share patients with it.
        run_key: See `Ledger.reserve`, likewise the others.
        job_id: The present attempt.
        round_index: The round, from 0.
        plan: What the run declares.

    Raises:
        BudgetExceededError: One of the budgets does not cover the draw.
        ConfigError: A ledger protects another unit.
        LedgerError: A ledger cannot be trusted or written, or refuses the draw.
    """
    return _reserve((ledger, *also), run_key, job_id, round_index, plan)[ledger.cohort]


def charge_late(also: Sequence[Ledger], run_key: str, job_id: str, round_index: int, plan: RunPlan) -> None:
    """Charges a round that is about to be sent again to every ledger that has no draw for it; see `reserve_jointly`.

    Raises:
        BudgetExceededError: One of the budgets does not cover the draw.
        ConfigError: A ledger protects another unit.
        LedgerError: A ledger cannot be trusted or written, or refuses the draw.
    """
    _reserve([one for one in also if not one.drawn(run_key, round_index)], run_key, job_id, round_index, plan)


def _reserve(
    ledgers: Sequence[Ledger], run_key: str, job_id: str, round_index: int, plan: RunPlan
) -> dict[str, Reservation]:
    ordered = sorted(ledgers, key=lambda one: one.cohort)
    for one in ordered:
        one.check_draw(run_key, job_id, round_index, plan)
    return {one.cohort: one.reserve(run_key, job_id, round_index, plan) for one in ordered}
