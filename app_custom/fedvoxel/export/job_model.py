"""The model of a finished job, with all that is known of it; what cannot be exported is refused here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedvoxel.config import parse_config, read_json
from fedvoxel.errors import ConfigError, JobError
from fedvoxel.export.description import ModelDescription
from fedvoxel.export.pseudonyms import pseudonyms_of
from fedvoxel.federation.outcome import OUTCOME_FILE, ModelFile, RunOutcome
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.training.setup import TrainingTask
from fedvoxel.updates.weights_file import load_weights

ModelChoice = Literal["best", "last", "personal"]
"""The model that validated best (the last where none was validated), the last, or one of a single hospital."""


@dataclass(frozen=True)
class JobModel:
    """Is a model and where it comes from.

    Attributes:
        outcome: The run's.
        outcome_sha256: Of the outcome's file.
        task: What every site was asked to train.
        file: The model's file.
        round: The round after which the model stood; None where that is not said.
        tested: Whether it is the model that the outcome's test scores are of.
        weights: Its weights.
        pseudonyms: A name for each site that tells nothing of it to who has not the outcome.
    """

    outcome: RunOutcome
    outcome_sha256: str
    task: TrainingTask
    file: ModelFile
    round: int | None
    tested: bool
    weights: dict[str, NDArray[np.float32]]
    pseudonyms: dict[str, str]


def read_job_model(workspace: Path, outcome: RunOutcome, task: TrainingTask, choice: ModelChoice = "best") -> JobModel:
    """Reads a model of a downloaded job.

    Args:
        workspace: The job's workspace.
        outcome: What lies there as outcome.json.
        task: The job's.
        choice: Which model.

    Raises:
        ConfigError: The common model is not whole, or the wanted one is no common model.
        JobError: The run failed, left no such model, or the file is not the one that it wrote.
    """
    _check_choice(choice)
    check_common(task)
    if outcome.status not in ("finished", "stopped_early"):
        raise JobError(f"the run {outcome.status}; export the model of one that finished")
    last, best = outcome.model, outcome.best_model
    file = best or last if choice == "best" else last
    if file is None or last is None:
        raise JobError("the run left no model; see its outcome's reason")
    path = workspace / file.file
    if not path.is_file() or sha256_of_file(path) != file.sha256:
        raise JobError(f"{file.file} is missing or not the file that the run wrote; download the job again")
    weights = load_weights(path)
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise JobError(f"{file.file} holds values that are not finite; there is nothing to export")
    is_best = best is not None and file.sha256 == best.sha256
    return JobModel(
        outcome=outcome,
        outcome_sha256=sha256_of_file(workspace / OUTCOME_FILE),
        task=task,
        file=file,
        round=outcome.best_round if is_best else outcome.rounds_committed - 1,
        tested=is_best or best is None,
        weights=weights,
        pseudonyms=pseudonyms_of((workspace / OUTCOME_FILE).read_bytes(), outcome.sites),
    )


def read_description(path: Path, task: TrainingTask) -> ModelDescription:
    """Reads a description that people wrote, and completes it with the job's plan and window.

    Raises:
        ConfigError: It is not valid, or says something else than the job.
    """
    values = read_json(path, "the model's description")
    if not isinstance(values, dict):
        raise ConfigError("the model's description is no JSON object")
    known = {"plan": task.plan.model_dump(mode="json"), "inference": task.training.inference.model_dump(mode="json")}
    description = parse_config(ModelDescription, {**known, **values}, "the model's description")
    if (description.plan, description.inference) != (task.plan, task.training.inference):
        raise ConfigError("the description's plan or inference is not the job's; leave both out")
    names = tuple(structure.name for structure in description.structures)
    if names != task.classes:
        raise ConfigError(
            f"the description's structures are {', '.join(names)}, the job's classes {', '.join(task.classes)}; they "
            "must be the same, in the same order"
        )
    return description


def _check_choice(choice: ModelChoice) -> None:
    if choice == "personal":
        raise ConfigError(
            "a hospital's personal model never leaves it and is not exported; the common model is: --model best"
        )


def check_common(task: TrainingTask) -> None:
    """Checks that a job has a common model to export.

    Raises:
        ConfigError: It leaves layers to each hospital.
    """
    if task.training.site_local:
        raise ConfigError(
            "this job leaves some layers to each hospital (training.site_local): its common model has their initial "
            "values and would segment badly anywhere, and the hospitals' own layers never leave them; train without "
            "site_local to export a model"
        )
