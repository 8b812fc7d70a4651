"""What names a run, and what is claimed of it, before its first round."""

from dataclasses import dataclass
from datetime import datetime

from fedvoxel.federation.attempts import Attempt
from fedvoxel.federation.channels import StartModel
from fedvoxel.federation.claim import Claim
from fedvoxel.privacy.guarantee import NO_GUARANTEE

NOTHING_CLAIMED = Claim(NO_GUARANTEE, None, ())
"""What is claimed of a run whose job cannot be read."""


@dataclass(frozen=True)
class RunIdentity:
    """Names a run: its key, the FLARE job that is its present attempt, its sites, its claim, package versions.

    Attributes:
        claim: What its job may say about privacy.
        start_from: The earlier run whose model it begins with, if any.
        attempts: All attempts until now, the present one last.
    """

    run_key: str
    job_id: str
    job_name: str
    sites: tuple[str, ...]
    rounds_planned: int
    versions: dict[str, str]
    started: datetime
    claim: Claim = NOTHING_CLAIMED
    start_from: StartModel | None = None
    attempts: tuple[Attempt, ...] = ()
