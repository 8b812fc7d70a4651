"""Which filters a job may name for what its sites send: FLARE's own two, wrapped so that they say what they are worth.

FLARE's privacy filters let what they do not know pass as it is, and say nothing about what they give. A job names the
wrapped ones of `fedvoxel.flare.flare_filters` instead, whose arguments are checked here. They come after the site's own
filter and change what it has admitted. So they never go together with a privacy section: what a ledger has released
leaves unchanged. Every other class is up to the sites' class lists.

Source of the arguments' meaning: nvflare/app_common/filters/svt_privacy.py and percentile_privacy.py, NVFlare 2.9.0.
"""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, FiniteFloat, StrictBool, model_validator

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.governance.job_files import Component
from fedvoxel.governance.job_folder import CLIENT_FILE, JobFolder

Positive = Annotated[FiniteFloat, Field(gt=0)]

_TRAIN = ("train",)


class SVTArgs(FrozenModel):
    """Are the arguments of FLARE's sparse vector filter; see its source for what they do.

    Attributes:
        fraction: Share of the parameters that are sent, in (0, 1].
        epsilon: Spent on choosing them, in each round.
        noise_var: Sets the noise on what is sent where `epsilon_release` is left out: an epsilon of this much for each
            parameter that is sent.
        gamma: Bound that each parameter's change is clipped to.
        tau: Threshold, at most `gamma`: beyond that, noise alone passes it, and FLARE's loop need not end.
        replace: Whether the sent parameters are drawn with replacement.
        epsilon_threshold: Share of `epsilon` for the threshold; FLARE's split where left out.
        epsilon_query: Share of `epsilon` for the comparisons, likewise.
        epsilon_release: Spent on the noise on what is sent.
    """

    fraction: FiniteFloat = Field(default=0.1, gt=0, le=1)
    epsilon: Positive = 0.1
    noise_var: Positive = 0.1
    gamma: Positive = 1e-5
    tau: FiniteFloat = Field(default=1e-6, ge=0)
    replace: StrictBool = True
    epsilon_threshold: Positive | None = None
    epsilon_query: Positive | None = None
    epsilon_release: Positive | None = None

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if self.tau > self.gamma:
            raise ValueError(f"tau: expected at most gamma, {self.gamma:g}, got {self.tau:g}")
        shares = [share for share in (self.epsilon_threshold, self.epsilon_query) if share is not None]
        if len(shares) == 2 and abs(sum(shares) - self.epsilon) > 1e-9 * self.epsilon:
            raise ValueError("epsilon_threshold and epsilon_query: expected that they add up to epsilon")
        if len(shares) == 1 and shares[0] >= self.epsilon:
            raise ValueError("epsilon_threshold or epsilon_query: expected less than epsilon")
        return self


class PercentileArgs(FrozenModel):
    """Are the arguments of FLARE's percentile filter.

    Attributes:
        percentile: Changes whose size is below this percentile of all become 0, in [0, 100].
        gamma: Bound that the others are clipped to.
    """

    percentile: FiniteFloat = Field(default=10, ge=0, le=100)
    gamma: Positive = 0.01


WRAPPED: Mapping[str, type[FrozenModel]] = {
    "fedvoxel.flare.flare_filters.WrappedSVTPrivacy": SVTArgs,
    "fedvoxel.flare.flare_filters.WrappedPercentilePrivacy": PercentileArgs,
}
"""The filters that a job may name where a site's class list has them, and the models of their arguments."""

_RAW = {
    "nvflare.app_common.filters.svt_privacy.SVTPrivacy": "fedvoxel.flare.flare_filters.WrappedSVTPrivacy",
    "nvflare.app_common.filters.SVTPrivacy": "fedvoxel.flare.flare_filters.WrappedSVTPrivacy",
    "nvflare.app_common.filters.percentile_privacy.PercentilePrivacy": (
        "fedvoxel.flare.flare_filters.WrappedPercentilePrivacy"
    ),
    "nvflare.app_common.filters.PercentilePrivacy": "fedvoxel.flare.flare_filters.WrappedPercentilePrivacy",
}


_RESULTS = f"{CLIENT_FILE}, task_result_filters"


def check_job_filters(job: JobFolder, private: bool, encoded: bool = False) -> None:
    """Checks a job's filters on what its sites send.

    Args:
        job: The job.
        private: Whether it has a privacy section.
        encoded: Whether its sites send encoded differences, which these filters cannot read.

    Raises:
        ConfigError: One stands beside a privacy section or a codec, is FLARE's own, stands in another place than on
            what sites send of their rounds, or has wrong arguments.
    """
    for place, component in _filters(job):
        path = component.path
        if path in _RAW:
            raise ConfigError(
                f"{place}: {path} lets what it does not know leave as it is; name {_RAW[path]}, which refuses it"
            )
        if private and place == _RESULTS:
            raise ConfigError(
                f"{place}: {path} would change what the sites' ledgers have released; remove the filter, or the "
                "privacy section"
            )
        if encoded and place == _RESULTS:
            raise ConfigError(f"{place}: {path} cannot read encoded differences; remove it, or rounds.compression.up")
        if path in WRAPPED:
            if place != _RESULTS:
                raise ConfigError(f"{place}: {path} belongs to {_RESULTS}, at the sites and for the task train alone")
            parse_config(WRAPPED[path], component.args, f"{place}, arguments of {path}")


def _filters(job: JobFolder) -> list[tuple[str, Component]]:
    """Returns every filter of a job with the place where it stands."""
    chains = [
        (_RESULTS if chain.tasks == _TRAIN else f"{_RESULTS} of {', '.join(chain.tasks)}", chain)
        for chain in job.client.task_result_filters
    ]
    chains += [(f"{CLIENT_FILE}, task_data_filters", chain) for chain in job.client.task_data_filters]
    chains += [("the server's filters", chain) for chain in job.server.task_result_filters]
    chains += [("the server's filters", chain) for chain in job.server.task_data_filters]
    return [(place, component) for place, chain in chains for component in chain.filters]
