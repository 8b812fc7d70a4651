"""The seven steps under their names, done one at a time, whoever asks for them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from fedvoxel.errors import ConfigError, FedVoxelError
from fedvoxel.evaluation.comparison.parts import Values
from fedvoxel.ops.pipelines.job_steps import CHECK, SUBMIT, WAIT
from fedvoxel.ops.pipelines.model_steps import EVALUATE, EXPORT, GATE, REGISTER
from fedvoxel.ops.pipelines.record import Failure, PipelineRecord
from fedvoxel.ops.pipelines.run import PipelineRun, Step, StepName

STEPS: Mapping[StepName, Step] = {
    "check": CHECK,
    "submit": SUBMIT,
    "wait": WAIT,
    "evaluate": EVALUATE,
    "gate": GATE,
    "export": EXPORT,
    "register": REGISTER,
}


def open_run(settings: Path, folder: Path, job: Path | None = None) -> PipelineRun:
    """Opens a pipeline in its folder; `job` takes the place of the settings' own.

    Raises:
        ConfigError: The settings cannot be used.
    """
    return PipelineRun(settings, PipelineRecord(folder), STEPS, job)


def do_step(name: StepName, settings: Path, folder: Path, job: Path | None = None) -> tuple[Values, bool]:
    """Does a step unless it is finished; returns what it found out, and whether it was done now.

    Raises:
        FedVoxelError: It failed; why is noted in the folder, for who runs the pipeline.
        ConfigError: The folder cannot be read or written, for want of room perhaps.
    """
    record = PipelineRecord(folder)
    with record.at_work(), _noting_failure(record, name), folder_in_use(f"the step {name}"):
        return PipelineRun(settings, record, STEPS, job).do(name)


@contextmanager
def folder_in_use(whose: str) -> Iterator[None]:
    """Makes one line of a folder without room, or which is not to be read.

    Raises:
        ConfigError: So it is.
    """
    try:
        yield
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigError(f"{whose}: the pipeline's folder cannot be read or written ({why})") from None


@contextmanager
def _noting_failure(record: PipelineRecord, name: StepName) -> Iterator[None]:
    try:
        yield
    except FedVoxelError as error:
        # Where there is no room for the note either, what the step itself says is still what counts.
        with suppress(OSError):
            record.keep_failure(Failure(step=name, exit_code=error.exit_code, message=str(error)))
        raise
