"""Whether the two halves of a job go together: what its server's file says, and what its sites' file says.

Imports neither NVFlare nor torch.
"""

from collections.abc import Mapping

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError
from fedvoxel.federation.drift.reference import WatchQuestion
from fedvoxel.flare.job_args import DriftWatchArgs, FedAvgArgs, ReaderStudyArgs, SiteArgs
from fedvoxel.governance.job_folder import CLIENT_FILE, SERVER_FILE
from fedvoxel.training.config import FineTuned, check_goes_with_correction

_SAID_TWICE: Mapping[type[FrozenModel], tuple[str, ...]] = {
    ReaderStudyArgs: ("study", "package"),
    DriftWatchArgs: tuple(WatchQuestion.model_fields),
}


def check_halves(server: FrozenModel, client: FrozenModel) -> None:
    """Checks that the arguments of a job's controller and of its executor, of one kind, go together.

    Raises:
        ConfigError: They do not; the message says which.
    """
    _check_run_key(server, client)
    _check_said_twice(server, client)
    _check_privacy(server, client)
    _check_correction(server, client)
    _check_personal(server, client)


def _check_run_key(server: FrozenModel, client: FrozenModel) -> None:
    keys = [getattr(part, "run_key", None) for part in (server, client)]
    if keys[0] != keys[1]:
        raise ConfigError(
            f"run_key is {keys[0]!r} in {SERVER_FILE} and {keys[1]!r} in {CLIENT_FILE}; they name one run: write the "
            "same in both"
        )


def _check_said_twice(server: FrozenModel, client: FrozenModel) -> None:
    """Checks that sites answer what the server asks and compares."""
    names = _SAID_TWICE.get(type(server), ())
    if any(getattr(server, name) != getattr(client, name) for name in names):
        raise ConfigError(
            f"{' and '.join(names)} differ between {SERVER_FILE} and {CLIENT_FILE}: write the same in both"
        )


def _check_privacy(server: FrozenModel, client: FrozenModel) -> None:
    """Checks that what the server will claim is what the sites do."""
    claimed, done = getattr(server, "privacy", None), getattr(client, "privacy", None)
    if claimed != done:
        raise ConfigError(
            f"the privacy sections of {SERVER_FILE} and {CLIENT_FILE} differ: the server would claim what the sites do "
            "not do; write the same in both"
        )


def _check_correction(server: FrozenModel, client: FrozenModel) -> None:
    """Checks that the rule that the server names with each round goes with the sites' training section."""
    if isinstance(server, FedAvgArgs) and isinstance(client, SiteArgs) and server.rounds.correction:
        check_goes_with_correction(client.training)


def _check_personal(server: FrozenModel, client: FrozenModel) -> None:
    """Checks that a personal model is one of a run that trains, and that it is asked for its scores."""
    if not isinstance(client, SiteArgs) or client.training.personal is None:
        return
    if not isinstance(server, FedAvgArgs):
        raise ConfigError("training.personal goes with a job that trains; write null")
    if isinstance(client.training.personal, FineTuned) and not server.rounds.evaluate:
        raise ConfigError(
            "training.personal: a model is fine-tuned when its site scores it: write rounds.evaluate true, or null"
        )
