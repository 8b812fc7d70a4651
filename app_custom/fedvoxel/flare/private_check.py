"""What a site says about a protected cohort when it is asked whether it could run a job: nothing about its patients.

Whom the policy protects, how many of the job's rounds and spare draws the cohort's budget covers, and versions: all of
it follows from the hospital's decision and from earlier runs. Whether the cohort is really large enough, has a usable
case, or shares patients with another cohort is not looked at, as each would tell how many or which patients there are.
Imports no torch.
"""

from pathlib import Path
from typing import Any

from fedvoxel.errors import BudgetExceededError
from fedvoxel.flare.cohort_size import check_declared_size
from fedvoxel.privacy.policy import CohortBudget, load_privacy_policy
from fedvoxel.privacy.sections import read_section
from fedvoxel.training.readiness import package_versions

_NOBODY = "job_check"
"""The run that asks; no run of a job may begin in the ledger for it."""


def private_readiness(local: Path, cohort: str, privacy: Any, num_rounds: int) -> dict[str, Any] | None:
    """Returns a `governance.outbound.PrivateReadiness` as JSON values; None for a cohort without a budget.

    Args:
        local: The kit's `local/` folder.
        cohort: The cohort that the job names.
        privacy: The job's privacy section as JSON, or None.
        num_rounds: Rounds that the job plans.

    Raises:
        ConfigError: The policy cannot be read, has no entry for the cohort, or declares too few patients for the job;
            or the section is wrong.
        LedgerError: The cohort's ledger cannot be trusted.
    """
    entry = load_privacy_policy(local).of(cohort)
    if not isinstance(entry, CohortBudget):
        return None
    section = None if privacy is None else read_section(privacy)
    check_declared_size(local, cohort, section)
    covered = 0
    if section is not None and section.unit == entry.unit:
        # The accountant behind them takes a second to import, which other jobs are spared.
        from fedvoxel.privacy.ledger import open_ledger
        from fedvoxel.privacy.simulation import plan_of

        ledger = open_ledger(local, local.parent / "state", cohort)
        try:
            covered = ledger.check_draw(_NOBODY, _NOBODY, 0, plan_of(section, num_rounds))
        except BudgetExceededError:
            covered = 0
    return {"protects": entry.unit, "rounds": covered, "versions": package_versions()}
