"""What a job as it is written gives each patient or hospital, and whether that is what its meta.json promises.

Imports no accountant before a job has a privacy section.
"""

from dataclasses import dataclass

from fedvoxel.config import FrozenModel
from fedvoxel.federation.channels import START_MODEL
from fedvoxel.federation.claim import Claim, claim_of
from fedvoxel.federation.kept_models import BeforeSite
from fedvoxel.federation.promise import check_promise
from fedvoxel.flare.job_args import FedAvgArgs
from fedvoxel.governance.job_folder import JobFolder
from fedvoxel.privacy.guarantee import NO_GUARANTEE, PUBLIC_DATA


@dataclass(frozen=True)
class JobClaim:
    """Is what a job gives.

    Attributes:
        claim: The claim; where there is a condition, without the channel that it is about.
        condition: What the server will look at when the run begins, and no job says; None where nothing is left open.
    """

    claim: Claim
    condition: str | None = None


def claim_of_job(folder: JobFolder, server: FrozenModel) -> JobClaim:
    """Returns what a job gives for all its planned rounds.

    Args:
        folder: The job.
        server: The arguments of its controller.

    Raises:
        ConfigError: Its privacy section is wrong.
    """
    if not isinstance(server, FedAvgArgs):
        return JobClaim(Claim(NO_GUARANTEE, None, ()))
    filters = [part.path for chain in folder.client.task_result_filters for part in chain.filters]
    claim = claim_of(
        server.privacy, server.rounds, plan_source=server.plan_source, choices=server.choices, filters=filters
    )
    if server.start_from is None:
        return JobClaim(claim)
    known = tuple(channel for channel in claim.channels if channel.name != START_MODEL)
    begun = server.start_from.run_key if isinstance(server.start_from, BeforeSite) else server.start_from
    condition = (
        f"run {begun}, whose model it begins with, has a guarantee for the same unit, which the server "
        f"adds to this one, also against a promise, or was {PUBLIC_DATA}; the server looks when the run begins"
    )
    return JobClaim(Claim(claim.text, claim.guarantee, known), condition)


def check_job_promise(folder: JobFolder, server: FrozenModel) -> None:
    """Checks that a job gives what its meta.json promises; a job without promises is not looked at.

    Raises:
        ConfigError: It gives less.
    """
    promise = folder.meta.promises
    if promise is None:
        return
    check_promise(promise, claim_of_job(folder, server).claim)
