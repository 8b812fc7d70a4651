"""Finds the outcome in the folder that FLARE's `download_job` made, and checks the model files beside it."""

from dataclasses import dataclass
from pathlib import Path

from fedvoxel.errors import JobError
from fedvoxel.federation.outcome import OUTCOME_FILE, ModelFile, RunOutcome, load_outcome
from fedvoxel.records.canonical import sha256_of_file


@dataclass(frozen=True)
class JobResult:
    """Holds a downloaded job: its folder, its workspace, and its outcome."""

    folder: Path
    workspace: Path
    outcome: RunOutcome


def open_job_result(folder: Path) -> JobResult:
    """Opens a downloaded job.

    Args:
        folder: The job's folder, its `workspace`, or a folder that holds exactly one downloaded job.

    Raises:
        JobError: There is no outcome there, or more than one.
        ConfigError: The outcome cannot be read.
    """
    if not folder.is_dir():
        raise JobError(f"{folder} is not a folder: expected the folder that download_job made (named after the job id)")
    found = _outcomes(folder)
    if not found:
        raise JobError(
            f"no {OUTCOME_FILE} in {folder}: expected the folder that download_job made "
            f"(<job id>/workspace/{OUTCOME_FILE}); a job that never started leaves none, see its log with get_job_log"
        )
    if len(found) > 1:
        names = ", ".join(sorted(_job_folder(path).name for path in found))
        raise JobError(f"{folder} holds several jobs ({names}): give the folder of one of them")
    workspace = found[0].parent
    return JobResult(_job_folder(found[0]), workspace, load_outcome(found[0]))


def model_warnings(result: JobResult) -> tuple[str, ...]:
    """Says which model files of the outcome are missing beside it, or are not the ones it names."""
    models = (("global model", result.outcome.model), ("best model", result.outcome.best_model))
    lines = [_warning(name, model, result.workspace) for name, model in models if model is not None]
    return tuple(line for line in lines if line is not None)


def _warning(name: str, model: ModelFile, workspace: Path) -> str | None:
    path = workspace / model.file
    if not path.is_file():
        return f"The {name} ({model.file}) is not in the downloaded job: download the job again before using it."
    if sha256_of_file(path) != model.sha256:
        return f"The {name} ({model.file}) is not the file that the run wrote (its SHA-256 differs): do not use it."
    return None


def _outcomes(folder: Path) -> list[Path]:
    for pattern in (OUTCOME_FILE, f"workspace/{OUTCOME_FILE}", f"*/workspace/{OUTCOME_FILE}"):
        found = sorted(path for path in folder.glob(pattern) if path.is_file())
        if found:
            return found
    return []


def _job_folder(outcome: Path) -> Path:
    workspace = outcome.resolve().parent
    return workspace.parent if workspace.name == "workspace" else workspace
