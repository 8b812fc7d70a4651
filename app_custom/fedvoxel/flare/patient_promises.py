"""Whether what a hospital's policy promises about one cohort holds beside its others, and what a run costs where.

A patient in two cohorts is protected by what both together let out. So a run on one protected cohort is charged to
every other one that shares a patient with it; and a promise is hollow where such a patient is also in a cohort that
leaves without protection, or is protected by another unit, or where nobody can tell who is whose patient. Sites without
a budget promise nothing, and their lists are not even read. Imports neither NVFlare nor, before it is needed, the
accountant: `fedvoxel site check` and a job's process ask the same.
"""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from fedvoxel.errors import ConfigError, FedVoxelError
from fedvoxel.privacy.policy import PRIVACY_FILE, CohortBudget, PrivacyPolicy, load_privacy_policy
from fedvoxel.volumes.shared_patients import cohorts_sharing, unnamed_problem
from fedvoxel.volumes.site import SITE_FILE, SiteConfig, load_site_config

if TYPE_CHECKING:
    from fedvoxel.privacy.ledger import Ledger

_logger = logging.getLogger(__name__)

_UNKEPT = "this site's privacy policy and its cohorts do not go together; `fedvoxel site check` there says why"
"""What leaves of the reason: the reason itself names other cohorts and says that patients are in both."""


def promise_problems(site: SiteConfig, policy: PrivacyPolicy, cohort: str, base: Path) -> list[str]:
    """Returns why a promise of the policy would not hold if `cohort` were used, each with what to do; empty if it does.

    Args:
        site: The site's own file.
        policy: The site's privacy policy.
        cohort: A cohort of the site's file; without an entry in the policy nothing leaves about it.
        base: The folder that relative paths in the site's file count from.

    Raises:
        CohortError: A cohort is unknown, or its list of cases cannot be used.
    """
    entry = policy.cohorts.get(cohort)
    if entry is None or not policy.budgets():
        return []
    problems = []
    if isinstance(entry, CohortBudget) and entry.unit == "patient":
        unnamed = unnamed_problem(site, site.cohort(cohort), base)
        if unnamed:
            problems.append(f"cohort {cohort}: unit 'patient' cannot be kept: {unnamed} (local/{SITE_FILE})")
    shared = cohorts_sharing(site, cohort, base)
    return problems + [found for other in shared if (found := _clash(policy, cohort, other))]


def check_promises(local: Path, cohort: str) -> tuple[str, ...]:
    """Returns the other cohorts whose ledgers a private run on `cohort` is charged to as well, sorted.

    Args:
        local: The kit's `local/` folder.
        cohort: The cohort that a job is about to use.

    Raises:
        ConfigError: A promise would be hollow, or nobody can tell; the reason itself is in the site's own log only.
    """
    policy = load_privacy_policy(local)
    if not policy.budgets():
        return ()
    try:
        site = load_site_config(local / SITE_FILE)
        if cohort not in site.cohorts:
            return ()  # The trainer says so, with what to do.
        problems = promise_problems(site, policy, cohort, local)
        shared = cohorts_sharing(site, cohort, local) if cohort in policy.budgets() else ()
    except FedVoxelError as error:
        problems, shared = [str(error)], ()
    for problem in problems:
        _logger.error("event=promise_not_kept reason=%s", problem)
    if problems:
        raise ConfigError(_UNKEPT)
    return tuple(other for other in shared if other in policy.budgets())


def ledgers_of(local: Path, cohorts: tuple[str, ...]) -> tuple["Ledger", ...]:
    """Returns the ledgers of a kit's cohorts.

    Raises:
        ConfigError: The policy is missing or wrong, or grants nothing for one of them.
    """
    if not cohorts:
        return ()
    from fedvoxel.privacy.ledger import open_ledger

    return tuple(open_ledger(local, local.parent / "state", cohort) for cohort in cohorts)


def _clash(policy: PrivacyPolicy, cohort: str, other: str) -> str | None:
    """Says why two cohorts that share a patient cannot both be used as the policy has it."""
    entries = {name: policy.cohorts[name] for name in (cohort, other) if name in policy.cohorts}
    protected = [name for name, entry in entries.items() if isinstance(entry, CohortBudget)]
    units = {entry.unit for entry in entries.values()}
    if len(entries) < 2 or not protected or len(units) == 1:
        # About a cohort without an entry nothing leaves; with the same unit both ledgers are charged.
        return None
    said = " and ".join(f"{name!r} (unit {entry.unit!r})" for name, entry in entries.items())
    return (
        f"cohorts {said} have a patient in common, so that what is promised for {protected[0]!r} would be hollow: take "
        f"the patient out of one of them, or give both a budget with the same unit in local/{PRIVACY_FILE}"
    )
