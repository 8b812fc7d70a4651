"""What a downloaded job was asked to train, and the model that came out: enough to train and score comparisons."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedvoxel.config import parse_config, read_json
from fedvoxel.errors import ConfigError, JobError
from fedvoxel.evaluation.job_result import JobResult
from fedvoxel.training.setup import TrainingTask
from fedvoxel.updates.weights_file import load_weights

_CLIENT_CONFIG = "app_server/config/config_fed_client.json"


@dataclass(frozen=True)
class TrainedJob:
    """Holds a finished job's task, its planned rounds and the model that was tested.

    Attributes:
        task: What every site was asked to train.
        rounds: Planned rounds.
        model: The best validated model, or the last where none was validated.
    """

    task: TrainingTask
    rounds: int
    model: dict[str, NDArray[np.float32]]


def read_trained_job(result: JobResult) -> TrainedJob:
    """Reads a downloaded job.

    Raises:
        ConfigError: The job's configuration is not in the result, or is no training job's.
        JobError: The run left no model.
    """
    task, outcome = read_task(result), result.outcome
    file = outcome.best_model or outcome.model
    if file is None:
        raise JobError("the run left no model, so there is nothing to compare with; see its outcome's reason")
    return TrainedJob(task, outcome.rounds_planned, load_weights(result.workspace / file.file))


def read_task(result: JobResult) -> TrainingTask:
    """Returns what a downloaded job asked every site to train.

    Raises:
        ConfigError: The job's configuration is not in the result, or is no training job's.
    """
    config = read_json(result.workspace / _CLIENT_CONFIG, "the job's configuration for sites")
    try:
        arguments = dict(config["executors"][0]["executor"]["args"])
    except (KeyError, IndexError, TypeError):
        raise ConfigError(
            "the job's configuration for sites names no executor; give the result of a training job"
        ) from None
    arguments.pop("run_key", None)
    return parse_config(TrainingTask, arguments, "the job's task")


def check_model_is_whole(task: TrainingTask) -> None:
    """Checks that a job's common model can be scored as it is, without a site's own part of it.

    Raises:
        ConfigError: The job has `training.site_local`: each site scored the common model together with its own layers,
            and without them it would do worse than it does anywhere.
    """
    if task.training.site_local:
        raise ConfigError(
            "this job leaves some layers to each hospital (training.site_local), so that its common model alone cannot "
            "be compared; the report holds the scores that each hospital reached with its own layers"
        )
