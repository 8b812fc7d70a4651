"""Whether the hospital's own privacy policy says of each cohort that it describes what may leave.

A cohort without a decision is an error here, since the outbound filter would let nothing leave about it and every job
on it would fail in its first round.
"""

from collections.abc import Iterable

from fedvoxel.errors import ConfigError
from fedvoxel.governance.finding import Finding, error, ok
from fedvoxel.governance.kit import Kit
from fedvoxel.privacy.guarantee import NO_GUARANTEE
from fedvoxel.privacy.policy import NoBudget, PrivacyPolicy, PublicCohort, load_privacy_policy

_TOPIC = "policy"


def check_cohort_policy(kit: Kit, cohorts: Iterable[str]) -> list[Finding]:
    """Checks the site's privacy policy, and says of each of its cohorts what has been decided.

    Args:
        kit: A site's kit.
        cohorts: The cohorts that the site describes.
    """
    try:
        policy = load_privacy_policy(kit.local)
    except ConfigError as problem:
        return [error(_TOPIC, f"{problem}; correct it, or where it is missing run: fedvoxel site init {kit.folder}")]
    return [_decided(policy, cohort) for cohort in cohorts]


def _decided(policy: PrivacyPolicy, cohort: str) -> Finding:
    try:
        entry = policy.of(cohort)
    except ConfigError as problem:
        return error(_TOPIC, str(problem))
    if isinstance(entry, NoBudget):
        return ok(_TOPIC, f"cohort {cohort}: {NO_GUARANTEE}, as the site's privacy policy has decided")
    if isinstance(entry, PublicCohort):
        return ok(_TOPIC, f"cohort {cohort}: declared public by the site's privacy policy; nothing is counted")
    return ok(
        _TOPIC, f"cohort {cohort}: epsilon {entry.epsilon} and delta {entry.delta} per {entry.unit} over all runs"
    )
