"""The typed arguments of each controller and executor that a job names.

Composes the configuration of rooms that do not know each other. Imports neither NVFlare nor torch.
"""

from collections.abc import Collection
from typing import Annotated, Self

from pydantic import Field, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError
from fedvoxel.federation.calibration.plan import ViewPlan
from fedvoxel.federation.channels import Choices, PlanSource
from fedvoxel.federation.drift.reference import WatchQuestion
from fedvoxel.federation.kept_models import BeforeSite
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.privacy.sections import PrivacySection
from fedvoxel.records.names import RunKey, Sha256
from fedvoxel.training.setup import TrainingTask

Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600)]
ClassName = Annotated[str, Field(min_length=1, max_length=64)]
ClassNames = Annotated[tuple[ClassName, ...], Field(min_length=1, max_length=255)]


class FedAvgArgs(FrozenModel):
    """Are the arguments of `FedAvgController`.

    Attributes:
        start_from: The run with whose last model, or with whose model from before a site joined, this one begins.
        plan_source: Where the sites' preprocessing plan comes from: "fixed" by people who have seen no private case, or
            "statistics" of the sites' cases, which leaves a job without a formal guarantee, as not to say it does.
        choices: By what network, clip norm, learning rate and all else were chosen: by "public" knowledge and results,
            or by "private" ones, which leaves a job without a formal guarantee, as not to say it does.
    """

    rounds: RoundsConfig
    run_key: RunKey
    privacy: PrivacySection | None = None
    start_from: RunKey | BeforeSite | None = None
    plan_source: PlanSource | None = None
    choices: Choices | None = None
    task_check_period: Seconds = 0.1


def check_leaver_is_out(server: FrozenModel, sites: Collection[str]) -> None:
    """Checks that a job that begins with a model from before a site joined does not name that site.

    Raises:
        ConfigError: It does.
    """
    start = server.start_from if isinstance(server, FedAvgArgs) else None
    if isinstance(start, BeforeSite) and start.before_site in sites:
        raise ConfigError(
            f"start_from: the model is from before {start.before_site} joined, and deploy_map names {start.before_site}"
            "; leave it out, or begin with another model"
        )


class CrossSiteArgs(FrozenModel):
    """Are the arguments of `CrossSiteController`."""

    run_key: RunKey
    timeout_s: Seconds = 1800.0
    task_check_period: Seconds = 0.1


class CalibrationArgs(FrozenModel):
    """Are the arguments of `CalibrationController`.

    Attributes:
        views: Which changed copies of an image the model must agree on; those that its training made it endure.
    """

    run_key: RunKey
    views: ViewPlan = ViewPlan()
    timeout_s: Seconds = 3600.0
    task_check_period: Seconds = 0.1


class StatisticsArgs(FrozenModel):
    """Are the arguments of `StatisticsController`."""

    timeout_s: Seconds = 1800.0
    task_check_period: Seconds = 0.1


class ReaderStudyArgs(FrozenModel):
    """Are the arguments of `ReaderStudyController`.

    Attributes:
        study: The name under which each site keeps its reading.
        package: Identity of the package that was read.
    """

    study: RunKey
    package: Sha256
    timeout_s: Seconds = 1800.0
    task_check_period: Seconds = 0.1


class DriftWatchArgs(WatchQuestion):
    """Are the arguments of `DriftWatchController`."""

    timeout_s: Seconds = 1800.0
    task_check_period: Seconds = 0.1


class CohortArgs(FrozenModel):
    """Are the arguments of `StatisticsExecutor`."""

    cohort: str = Field(min_length=1)
    classes: ClassNames

    @model_validator(mode="after")
    def _classes_differ(self) -> Self:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes: a class is named twice")
        return self


class ReadArgs(CohortArgs):
    """Are the arguments of `ReaderStudyExecutor`; the classes are what the package marks."""

    study: RunKey
    package: Sha256


class WatchArgs(CohortArgs, WatchQuestion):
    """Are the arguments of `DriftWatchExecutor`; the classes are the package's, in the order of their codes."""

    @model_validator(mode="after")
    def _reference_is_of_the_classes(self) -> Self:
        if set(self.reference.log_volumes) != set(self.classes):
            raise ValueError("reference.log_volumes must name the classes")
        return self


class SiteArgs(CohortArgs, TrainingTask):
    """Are the arguments of `SiteExecutor`."""

    classes: ClassNames
    run_key: RunKey
