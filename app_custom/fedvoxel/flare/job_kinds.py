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
    DriftWatchArgs,
    FedAvgArgs,
    ReadArgs,
    ReaderStudyArgs,
    SiteArgs,
    StatisticsArgs,
    WatchArgs,
    check_leaver_is_out,
)
from fedvoxel.flare.job_claim import check_job_promise
from fedvoxel.flare.job_halves import check_halves
from fedvoxel.governance.job_files import JobMeta
from fedvoxel.governance.job_filters import check_job_filters
from fedvoxel.governance.job_folder import CLIENT_FILE, META_FILE, SERVER_FILE, JobFolder, parse_job
from fedvoxel.governance.job_keys import check_key, known_keys, set_value
from fedvoxel.privacy.sections import HospitalMechanismConfig


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
DRIFT_WATCH = JobKind(
    "fedvoxel.flare.drift_watch.DriftWatchController",
    "fedvoxel.flare.drift_watch_site.DriftWatchExecutor",
    DriftWatchArgs,
    WatchArgs,
    frozenset({"drift_watch"}),
)
KINDS = (FEDAVG, CROSS_SITE, STATISTICS, CALIBRATION, READER_STUDY, DRIFT_WATCH)


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
    check_halves(server, client)
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
