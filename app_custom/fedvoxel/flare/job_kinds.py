"""What each kind of FedVoxel job is made of: its controller, its executor, and the typed arguments of both.

Imports neither NVFlare nor torch.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.flare.job_args import (
    CalibrationArgs,
    CohortArgs,
    CrossSiteArgs,
    FedAvgArgs,
    ReadArgs,
    ReaderStudyArgs,
    SiteArgs,
    StatisticsArgs,
    check_leaver_is_out,
)
from fedvoxel.flare.job_claim import check_job_promise
from fedvoxel.governance.job_files import JobMeta
from fedvoxel.governance.job_filters import check_job_filters
from fedvoxel.governance.job_folder import CLIENT_FILE, META_FILE, SERVER_FILE, JobFolder, parse_job
from fedvoxel.governance.job_keys import check_key, known_keys, set_value
from fedvoxel.privacy.sections import HospitalMechanismConfig
from fedvoxel.training.config import FineTuned, check_goes_with_correction


@dataclass(frozen=True)
class JobKind:
    """Says what a kind of job is made of.

    Attributes:
        server_args: The model of the controller's arguments.
        client_args: The model of the executor's arguments.
        tasks: The tasks that the controller sends; FLARE aborts a job whose site does not know a task.
    """

    controller: str
    executor: str
    server_args: type[FrozenModel]
    client_args: type[FrozenModel]
    tasks: frozenset[str]


_SECURE_TASKS = frozenset({"secure_keys", "secure_shares", "secure_confirm", "secure_reveal"})
"""What a job with secure aggregation sends besides."""

_SITE_EXECUTOR = "fedvoxel.flare.executor.SiteExecutor"
FEDAVG = JobKind(
    "fedvoxel.flare.controller.FedAvgController",
    _SITE_EXECUTOR,
    FedAvgArgs,
    SiteArgs,
    frozenset({"initialize", "train", "validate"}),
)
CROSS_SITE = JobKind(
    "fedvoxel.flare.cross_site.CrossSiteController",
    _SITE_EXECUTOR,
    CrossSiteArgs,
    SiteArgs,
    frozenset({"validate", "submit_model"}),
)
STATISTICS = JobKind(
    "fedvoxel.flare.statistics.StatisticsController",
    "fedvoxel.flare.statistics.StatisticsExecutor",
    StatisticsArgs,
    CohortArgs,
    frozenset({"statistics"}),
)
CALIBRATION = JobKind(
    "fedvoxel.flare.calibration.CalibrationController",
    "fedvoxel.flare.calibration_site.CalibrationExecutor",
    CalibrationArgs,
    SiteArgs,
    frozenset({"calibrate_first", "calibrate_second"}),
)
READER_STUDY = JobKind(
    "fedvoxel.flare.reader_study.ReaderStudyController",
    "fedvoxel.flare.reader_study_site.ReaderStudyExecutor",
    ReaderStudyArgs,
    ReadArgs,
    frozenset({"reader_study"}),
)
KINDS = (FEDAVG, CROSS_SITE, STATISTICS, CALIBRATION, READER_STUDY)


@dataclass(frozen=True)
class JobContent:
    """Is a job with everything in it understood."""

    folder: JobFolder
    kind: JobKind
    server: FrozenModel
    client: CohortArgs

    @property
    def updates_needed(self) -> int:
        """Is the number of sites whose updates a round needs; 0 for a job that trains nothing."""
        return self.server.rounds.min_sites if isinstance(self.server, FedAvgArgs) else 0


def understand(folder: JobFolder) -> JobContent:
    """Reads the arguments of a job's controller and executor.

    Raises:
        ConfigError: The components are unknown or do not go together, or an argument is wrong; the message names it.
    """
    kind = _kind_of(folder)
    server = parse_config(kind.server_args, folder.controller.args, f"{SERVER_FILE}, arguments of the workflow")
    client = parse_config(kind.client_args, folder.executor.executor.args, f"{CLIENT_FILE}, arguments of the executor")
    if not isinstance(client, CohortArgs):
        raise ConfigError(f"{folder.executor.executor.path} has no cohort")
    _check_run_key(server, client)
    _check_study(server, client)
    _check_privacy(server, client)
    _check_correction(server, client)
    _check_personal(server, client)
    rounds = server.rounds if isinstance(server, FedAvgArgs) else None
    secure = rounds is not None and rounds.secure_aggregation is not None
    _check_tasks(folder, kind.tasks | (_SECURE_TASKS if secure else frozenset()))
    encoded = secure or (rounds is not None and rounds.compression.up is not None)
    check_job_filters(folder, private=getattr(server, "privacy", None) is not None, encoded=encoded)
    check_job_promise(folder, server)
    named = folder.meta.sites
    check_leaver_is_out(server, named or ())
    content = JobContent(folder, kind, server, client)
    if named is not None and content.updates_needed > len(named):
        raise ConfigError(f"rounds.min_sites is {content.updates_needed}, but {META_FILE} names {len(named)} sites")
    _check_denominator(content)
    return content


def keys_of(kind: JobKind) -> frozenset[str]:
    """Returns every dotted key of such a job in one view: the job's own, the rounds', the sites'."""
    return known_keys(JobMeta) | known_keys(kind.server_args) | known_keys(kind.client_args)


def variant(content: JobContent, values: Mapping[str, Any]) -> JobContent:
    """Returns the job with other values.

    Args:
        content: The job to begin with; it is left as it is.
        values: Value by dotted key.

    Raises:
        ConfigError: A key is unknown, or the result is not a valid job.
    """
    known = keys_of(content.kind)
    for key in values:
        check_key(key, known)
    documents = deepcopy(dict(content.folder.documents))
    homes = _homes(content, documents)
    for key, value in values.items():
        for names, home in homes:
            if key.split(".")[0] in names:
                set_value(home, key, value)
    return understand(parse_job(documents))


def _homes(content: JobContent, documents: dict[str, Any]) -> list[tuple[set[str], dict[str, Any]]]:
    """Returns where in the files each first part of a key lives; the run key lives in two places."""
    folder, kind = content.folder, content.kind
    workflow = documents[folder.server_document]["workflows"][0]
    executor = documents[folder.client_document]["executors"][0]["executor"]
    return [
        (set(JobMeta.model_fields), documents[META_FILE]),
        (set(kind.server_args.model_fields), workflow.setdefault("args", {})),
        (set(kind.client_args.model_fields), executor.setdefault("args", {})),
    ]


def _kind_of(folder: JobFolder) -> JobKind:
    controller, executor = folder.controller.path, folder.executor.executor.path
    for kind in KINDS:
        if kind.controller == controller:
            if executor != kind.executor:
                raise ConfigError(f"{CLIENT_FILE}: {controller} goes with {kind.executor}, got {executor}")
            return kind
    known = ", ".join(kind.controller for kind in KINDS)
    raise ConfigError(f"{SERVER_FILE}: unknown workflow {controller}; known are {known}")


def _check_run_key(server: FrozenModel, client: FrozenModel) -> None:
    keys = [getattr(part, "run_key", None) for part in (server, client)]
    if keys[0] != keys[1]:
        raise ConfigError(
            f"run_key is {keys[0]!r} in {SERVER_FILE} and {keys[1]!r} in {CLIENT_FILE}; they name one run: write the "
            "same in both"
        )


def _check_study(server: FrozenModel, client: FrozenModel) -> None:
    if not isinstance(server, ReaderStudyArgs) or not isinstance(client, ReadArgs):
        return
    if (server.study, server.package) != (client.study, client.package):
        raise ConfigError(f"study and package differ between {SERVER_FILE} and {CLIENT_FILE}: write the same in both")


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


def _check_denominator(content: JobContent) -> None:
    """Checks that a job under hospital-level noise divides by no fewer sites than it needs, or goes to."""
    section, named = getattr(content.server, "privacy", None), content.folder.meta.sites
    if isinstance(section, HospitalMechanismConfig):
        most = max(content.updates_needed, len(named) if named is not None else 0)
        if most > section.sites:
            raise ConfigError(
                f"privacy.sites is {section.sites}, but the job needs or names {most} sites; it is what the sum of "
                "updates is divided by: write the number of sites in the job"
            )


def _check_tasks(folder: JobFolder, sent: frozenset[str]) -> None:
    missing = sorted(sent - set(folder.executor.tasks))
    if missing:
        raise ConfigError(f"{CLIENT_FILE}: the executor's tasks lack {', '.join(missing)}, which the workflow sends")
