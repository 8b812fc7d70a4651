"""What a search over a job's parameters may vary, and one trial of it: a variant of the job, run like any other job.

A hospital is asked for each trial as for any job, and may refuse it: one whose people approve jobs does, since each
trial is another content. A job that protects somebody is not searched at all: each trial would be paid from the
hospitals' budgets, and no score leaves. A search goes by the validation cases; the unseen ones judge what it has found.
"""

from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, StrictFloat, StrictInt, StringConstraints, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError, JobError
from fedvoxel.federation.mean_dice import mean_dice
from fedvoxel.federation.outcome import load_outcome
from fedvoxel.flare.job_args import FedAvgArgs
from fedvoxel.flare.job_kinds import JobContent, understand, variant
from fedvoxel.governance.job_folder import read_job_folder, write_job_folder
from fedvoxel.governance.job_keys import parse_assignment
from fedvoxel.ops.pipelines.job_steps import outcome_file
from fedvoxel.ops.pipelines.record import PipelineRecord
from fedvoxel.ops.pipelines.run import StepName
from fedvoxel.ops.pipelines.settings import read_settings
from fedvoxel.ops.pipelines.steps import do_step, folder_in_use, open_run
from fedvoxel.records.canonical import sha256_of

METRIC = "dice"
_STEPS: tuple[StepName, ...] = ("check", "submit", "wait")
_KEY_BEGINS, _DIGITS = 40, 12
"""How much of a job's run key, and how many digits after it, name a trial's run; a key has 80 characters at most."""

_Key = Annotated[str, StringConstraints(pattern=r"^(training|rounds)(\.[a-z][a-z0-9_]{0,39}){1,5}$")]
_Number = StrictInt | StrictFloat
_Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]


class Between(FrozenModel):
    """Is a range of numbers; whole ones where both ends are."""

    minimum: _Number
    maximum: _Number

    @property
    def is_whole(self) -> bool:
        """Says whether only whole numbers are meant."""
        return isinstance(self.minimum, int) and isinstance(self.maximum, int)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum >= self.maximum:
            raise ValueError("minimum is not below maximum")
        return self


class OneOf(FrozenModel):
    """Is a list of words or numbers."""

    values: Annotated[tuple[_Word | _Number, ...], Field(min_length=2)]


class SearchSettings(FrozenModel):
    """Is the content of a search's file.

    Attributes:
        parameters: What may be tried, by dotted key of the job's training or rounds.
        algorithm: Katib's.
        most_trials: How many jobs the consortium trains at most, one after another.
        most_failed: After how many that failed or were refused the search ends.
        goal: A mean validation Dice with which it ends early.
    """

    schema_version: Literal[1] = 1
    parameters: Annotated[dict[_Key, Between | OneOf], Field(min_length=1)]
    algorithm: Literal["random", "grid", "tpe", "bayesianoptimization", "sobol"] = "random"
    most_trials: PositiveInt
    most_failed: PositiveInt = 2
    goal: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _katib_takes_it(self) -> Self:
        if self.most_failed > self.most_trials:
            raise ValueError(f"most_failed is {self.most_failed}, and there are {self.most_trials} trials at most")
        if self.algorithm == "grid" and (points := self._grid_points()) < self.most_trials:
            raise ValueError(f"the grid has {points} points, fewer than most_trials")
        return self

    def _grid_points(self) -> int:
        spaces = self.parameters.values()
        if any(isinstance(one, Between) and not one.is_whole for one in spaces):
            raise ValueError("a grid takes lists, and ranges of whole numbers: write values in place of a range")
        return prod(
            int(one.maximum - one.minimum) + 1 if isinstance(one, Between) else len(one.values) for one in spaces
        )


def read_searched_job(settings: Path) -> JobContent:
    """Returns the job of a pipeline's settings, if it may be searched.

    Raises:
        ConfigError: The settings or the job are not in order, it trains nothing, or protects somebody.
    """
    content = understand(read_job_folder(read_settings(settings).job))
    if not isinstance(content.server, FedAvgArgs):
        raise ConfigError(f"{content.folder.meta.name} trains nothing: expected a job with the FedAvgController")
    if content.server.privacy is not None:
        raise ConfigError(
            "this job has a privacy section: each trial of a search would be paid from the hospitals' budgets, and "
            "their scores do not leave; choose its parameters with `fedvoxel privacy simulate`"
        )
    return content


def check_values(content: JobContent, search: SearchSettings) -> None:
    """Checks that the job takes the first and the last value of each parameter.

    Raises:
        ConfigError: It does not.
    """
    for key, space in search.parameters.items():
        ends = (space.minimum, space.maximum) if isinstance(space, Between) else space.values
        for value in ends:
            # As `trial` will read it.
            variant(content, dict([parse_assignment(f"{key}={value}")]))


def do_trial(settings: Path, folder: Path, values: Mapping[str, Any]) -> float:
    """Runs the job with other values, and returns the best round's mean validation Dice over hospitals and classes.

    The same values again are the same run: it is not trained twice, and goes on where it was interrupted.

    Raises:
        ConfigError: The job may not be searched, or does not take the values.
        FedVoxelError: A hospital refuses it, or it fails.
        JobError: No hospital validated a round.
    """
    content = read_searched_job(settings)
    if wrong := [key for key in values if key.partition(".")[0] not in ("training", "rounds")]:
        raise ConfigError(f"a search sets keys of training and rounds, not {wrong[0]}")
    documents = {name: dict(value) for name, value in content.folder.documents.items()}
    digest = sha256_of({"job": documents, "values": dict(values)})[:_DIGITS]
    own_key = str(content.folder.executor.executor.args["run_key"])
    made = variant(content, {**values, "run_key": f"{own_key[:_KEY_BEGINS]}_trial_{digest}"})
    place = folder / digest
    job = place / "job" / made.folder.meta.name
    with PipelineRecord(place).at_work(), folder_in_use("the trial"):
        if not job.exists():
            write_job_folder(made.folder, job)
    for name in _STEPS:
        do_step(name, settings, place, job)
    run = open_run(settings, place, job)
    outcome = load_outcome(outcome_file(run, run.needed("wait")["job_id"]))
    best = next((one for one in outcome.rounds if one.round == outcome.best_round), None)
    score = mean_dice(best.validation) if best else None
    if score is None:
        raise JobError("no hospital has validated a round, so that the trial has no score")
    return score
