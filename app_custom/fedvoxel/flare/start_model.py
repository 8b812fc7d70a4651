"""The model that a run begins with, where that is one of an earlier run on this server: its last, or a kept one."""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from fedvoxel.errors import ConfigError, UpdateError
from fedvoxel.federation.channels import StartModel
from fedvoxel.federation.kept_models import BeforeSite, KeptModels
from fedvoxel.federation.lineage import Runs, touched
from fedvoxel.federation.outcome import OUTCOME_FILE, ModelFile, RunOutcome, load_outcome
from fedvoxel.federation.taking_part import part_of
from fedvoxel.flare.state_folder import check_run_key
from fedvoxel.plain_file import MOST_ARRAYS_BYTES, read_plain
from fedvoxel.privacy.guarantee import PUBLIC_DATA, Guarantee
from fedvoxel.updates.update import Arrays, check_values
from fedvoxel.updates.weights_file import from_bytes

_ENDED_WELL = ("finished", "stopped_early")


@dataclass(frozen=True)
class Start:
    """Is where a run begins.

    Attributes:
        record: Which run's model it is, and what that run says about privacy.
        arrays: The model.
    """

    record: StartModel
    arrays: Arrays


def load_start(runs: Path, run_key: str) -> Start:
    """Reads the last model of a run that has ended well on this server.

    Args:
        runs: The folder with one folder for each run, in the server's state.
        run_key: The earlier run.

    Raises:
        ConfigError: There is no such run, it has not ended well, or its files are missing or damaged.
    """
    folder = runs / check_run_key(run_key)
    outcome = _outcome(folder, run_key)
    if outcome.status not in _ENDED_WELL or outcome.model is None:
        raise ConfigError(
            f"start_from: run {run_key} has not ended well here ({outcome.status}), so that it has no last model; name "
            "one that has, or begin from the job's seed with start_from null"
        )
    said = {"privacy": outcome.privacy, "guarantee": _whole_guarantee(outcome)}
    record = StartModel.model_validate({"run_key": run_key, "sha256": outcome.model.sha256, **said})
    return Start(record, _model(folder, run_key, outcome.model))


def load_start_before(runs: Path, named: BeforeSite, sites: Collection[str]) -> Start:
    """Reads the model that a run on this server had before a site joined it.

    What is said of that run's privacy is said of all its rounds, and so of fewer.

    Args:
        runs: The folder with one folder for each run, in the server's state.
        named: The earlier run and the site.
        sites: Who takes part in the run that begins.

    Raises:
        ConfigError: The site takes part; there is no such run, it has not ended, or has no such model that is whole;
            or that model holds something of the site all the same, from the run that it had begun with.
    """
    run_key, site = check_run_key(named.run_key), named.before_site
    if site in sites:
        raise ConfigError(
            f"start_from: the model is from before {site} joined, and {site} takes part in this job; leave it out of "
            "deploy_map, or begin with another model"
        )
    outcome, found = _outcome(runs / run_key, run_key), Runs(runs)
    if outcome.status == "unfinished":
        raise ConfigError(f"start_from: run {run_key} has not ended; wait until it has, or abort its job")
    kept = KeptModels(runs / run_key)
    record = next((one for one in kept.read(outcome.rounds_committed) if site in one.joined), None)
    if record is None or part_of(site, outcome).touched_from != record.round:
        raise ConfigError(
            f"start_from: run {run_key} has no model that is known to be from before {site} joined; `fedvoxel "
            f"consortium withdraw {site}` lists those that are, or begin from the job's seed with start_from null"
        )
    if found.began_with(site, outcome, touched) is not False:
        raise ConfigError(
            f"start_from: run {run_key} itself began with a model that holds something of {site}, or may; name the run "
            "that it goes back to, or begin from the job's seed with start_from null"
        )
    said = {"privacy": outcome.privacy, "guarantee": _whole_guarantee(outcome), "before_round": record.round}
    begun = StartModel.model_validate({"run_key": run_key, "sha256": record.sha256, **said})
    return Start(begun, from_bytes(kept.content(record)))


def _whole_guarantee(outcome: RunOutcome) -> Guarantee | None:
    """Returns the earlier run's guarantee if it counts what that run began with; outcomes of old counted themselves."""
    begun = outcome.start_from
    counted = begun is None or begun.privacy == PUBLIC_DATA or begun.guarantee is not None
    return outcome.guarantee if counted else None


def _outcome(folder: Path, run_key: str) -> RunOutcome:
    if not (folder / OUTCOME_FILE).is_file():
        raise ConfigError(
            f"start_from: no run {run_key} has ended on this server; run it here first, or begin from the job's seed "
            "with start_from null"
        )
    try:
        return load_outcome(folder / OUTCOME_FILE)
    except ConfigError:
        # The reason would name the server's folders, and the outcome that repeats it goes to others.
        raise ConfigError(f"start_from: the outcome of run {run_key} is damaged; {_REPAIR}") from None


def _model(folder: Path, run_key: str, named: ModelFile) -> Arrays:
    try:
        content = read_plain(folder / named.file, MOST_ARRAYS_BYTES)
        if hashlib.sha256(content).hexdigest() != named.sha256:
            raise UpdateError("other bytes")
        arrays = from_bytes(content)
        check_values(arrays)
    except (OSError, UpdateError):
        raise ConfigError(
            f"start_from: the model of run {run_key} is missing, or not the one that its outcome names; {_REPAIR}"
        ) from None
    return arrays


_REPAIR = "put the run's files back, or run it again"
