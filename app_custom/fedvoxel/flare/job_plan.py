"""How long a job would take on a line, and what each of its settings would change, before it is submitted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from fedvoxel.errors import ConfigError
from fedvoxel.federation.forecast import Forecast, forecast, troubles
from fedvoxel.federation.line import Line
from fedvoxel.federation.other_settings import OtherSetting, other_settings
from fedvoxel.federation.site_work import SiteWork
from fedvoxel.federation.traffic import EncodedSizes, Step, steps_of, traffic_of
from fedvoxel.flare.job_args import FedAvgArgs, SiteArgs
from fedvoxel.flare.job_claim import claim_of_job
from fedvoxel.flare.job_kinds import JobContent, variant
from fedvoxel.updates.update import Layout


@dataclass(frozen=True)
class Change:
    """Is another setting of the job, and how long the job would then take."""

    setting: OtherSetting
    forecast: Forecast


@dataclass(frozen=True)
class JobPlan:
    """Is how long a job takes as it is, and with each other setting.

    Attributes:
        rounds: Planned rounds.
        sites: Sites that it was planned for.
        transfer: What it takes without the sites' work.
        forecast: What it takes with what is known of their work.
        changes: Other settings, the fastest first.
        warnings: What would go wrong on this line.
    """

    rounds: int
    sites: int
    transfer: Forecast
    forecast: Forecast
    changes: tuple[Change, ...]
    warnings: tuple[str, ...]


def plan_job(
    content: JobContent,
    line: Line,
    sites: int,
    work: SiteWork,
    on_step: Callable[[str], None] = lambda words: None,
) -> JobPlan:
    """Returns a job's plan.

    Args:
        content: The job.
        line: What the lines carry.
        sites: Sites that take part.
        work: What is known of the sites' own work.
        on_step: Told what is being tried.

    Raises:
        ConfigError: The job trains nothing, goes with more or with fewer sites, or torch is not installed here.
    """
    args = _trained(content)
    if sites < args.rounds.min_sites:
        raise ConfigError(f"the job needs {args.rounds.min_sites} sites (rounds.min_sites), the plan is for {sites}")
    layout, sizes = _layout(content), EncodedSizes()

    def steps(of: FedAvgArgs) -> tuple[Step, ...]:
        traffic = traffic_of(layout, of.rounds, sizes, sites, private=of.privacy is not None)
        return steps_of(of.rounds, traffic, sites, begins_with_run=of.start_from is not None)

    on_step("the job as it is")
    own = steps(args)
    planned = forecast(own, line, work)
    changes = []
    for setting in other_settings(args.rounds, private=args.privacy is not None):
        on_step(setting.words)
        other = _variant(content, setting.values)
        if other and steps(other) != own:
            changes.append(Change(setting, forecast(steps(other), line, work)))
    ordered = tuple(sorted(changes, key=lambda change: change.forecast.seconds))
    warnings = troubles(planned, line, args.rounds.round_timeout_s)
    return JobPlan(args.rounds.num_rounds, sites, forecast(own, line, SiteWork()), planned, ordered, warnings)


def sites_of(content: JobContent) -> int:
    """Returns the number of sites that a job names, or else the fewest with which it runs.

    Raises:
        ConfigError: The job trains nothing.
    """
    named, args = content.folder.meta.sites, _trained(content)
    return len(named) if named is not None else max(content.folder.meta.min_clients, args.rounds.min_sites)


def _trained(content: JobContent) -> FedAvgArgs:
    if not isinstance(content.server, FedAvgArgs):
        raise ConfigError("this job trains nothing; a plan is for a job with rounds")
    return content.server


def _layout(content: JobContent) -> Layout:
    """Returns the shapes of the model's arrays in the order in which they travel."""
    if find_spec("torch") is None or find_spec("monai") is None:
        raise ConfigError(
            "a plan needs the shapes of the job's network, and MONAI is not installed here: install fedvoxel[site], or "
            "run this where it is"
        )
    from fedvoxel.training.networks import build_network, get_weights

    if not isinstance(content.client, SiteArgs):
        raise ConfigError("the job describes no network")
    training = content.client.training
    network = build_network(training.network, len(content.client.classes) + 1, training.seed)
    return {name: array.shape for name, array in get_weights(network).items()}


def _variant(content: JobContent, values: Mapping[str, Any]) -> FedAvgArgs | None:
    """Returns the job's arguments with other values; None where they do not go together."""
    try:
        other = variant(content, values)
        claim_of_job(other.folder, other.server)
    except ConfigError:
        return None
    return _trained(other)
