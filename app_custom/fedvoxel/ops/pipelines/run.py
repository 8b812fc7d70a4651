"""One pipeline: its settings, its folder, and what each finished step has found out.

A step is finished as long as nothing that it depends on has changed: its own settings, the files that it reads, and
what the step before it found out. So a changed threshold repeats the gate, and no training.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.comparison.parts import Values
from fedvoxel.flare.job_args import FedAvgArgs, SiteArgs
from fedvoxel.flare.job_kinds import understand
from fedvoxel.governance.job_folder import read_job_folder
from fedvoxel.ops.pipelines.record import PipelineRecord
from fedvoxel.ops.pipelines.settings import PipelineSettings, read_settings
from fedvoxel.records.canonical import sha256_of, sha256_of_file

StepName = Literal["check", "submit", "wait", "evaluate", "gate", "export", "register"]
NAMES: tuple[StepName, ...] = ("check", "submit", "wait", "evaluate", "gate", "export", "register")


@dataclass(frozen=True)
class Step:
    """Is one step.

    Attributes:
        needs: What it depends on beside what the step before it found out; JSON values.
        work: Does it, and returns what it found out; JSON values.
        is_whole: Says whether what it left in the folder is still there.
    """

    needs: Callable[["PipelineRun"], Mapping[str, Any]]
    work: Callable[["PipelineRun"], Values]
    is_whole: Callable[["PipelineRun", Values], bool] = lambda run, values: True


class PipelineRun:
    """Holds the settings and the folder of one pipeline."""

    def __init__(
        self, settings: Path, record: PipelineRecord, steps: Mapping[StepName, Step], job: Path | None = None
    ) -> None:
        """Reads the settings.

        Args:
            settings: The settings file.
            record: The pipeline's folder.
            steps: What can be done.
            job: A job folder in place of the settings' own; None for that.

        Raises:
            ConfigError: The settings cannot be used.
        """
        read = read_settings(settings)
        self.settings: PipelineSettings = read if job is None else read.model_copy(update={"job": job})
        self.record = record
        self._steps = steps

    @property
    def asked(self) -> tuple[SiteArgs, FedAvgArgs]:
        """Is what the job, as it lies in its folder now, asks of a hospital and of the server.

        Raises:
            ConfigError: The job is not in order, or trains nothing.
            JobError: It is no job folder.
        """
        content = understand(read_job_folder(self.settings.job))
        if not isinstance(content.client, SiteArgs) or not isinstance(content.server, FedAvgArgs):
            raise ConfigError(f"{content.folder.meta.name} trains nothing: expected a job with the FedAvgController")
        return content.client, content.server

    @property
    def job_sha256(self) -> str:
        """Is the hash of the job's files."""
        return sha256_of(dict(read_job_folder(self.settings.job).documents))

    def found(self, name: StepName) -> Values | None:
        """Returns what a finished step found out; None where it is to be done, again perhaps."""
        before = self._before(name)
        if before is None:
            return None
        step = self._steps[name]
        kept = self.record.parts.get(name, self._configuration(step, before))
        return kept if kept is not None and step.is_whole(self, kept) else None

    def needed(self, name: StepName) -> Values:
        """Returns what a step found out that has to be finished by now.

        Raises:
            ConfigError: It is not.
        """
        found = self.found(name)
        if found is None:
            raise ConfigError(f"the step {name} is not finished under these settings; do it first")
        return found

    def do(self, name: StepName) -> tuple[Values, bool]:
        """Does a step unless it is finished; returns what it found out, and whether it was done now.

        Raises:
            FedVoxelError: It failed; nothing of it is kept.
        """
        if (found := self.found(name)) is not None:
            return found, False
        position = NAMES.index(name)
        before = self.needed(NAMES[position - 1]) if position else {}
        # Taken before the work: what somebody changes meanwhile has not been worked on.
        configuration = self._configuration(self._steps[name], before)
        values = self._steps[name].work(self)
        self.record.parts.keep(name, configuration, values)
        return values, True

    def _before(self, name: StepName) -> Values | None:
        position = NAMES.index(name)
        return self.found(NAMES[position - 1]) if position else {}

    def _configuration(self, step: Step, before: Values) -> dict[str, Any]:
        return {"before": before, "needs": dict(step.needs(self))}


def hash_of(path: Path, what: str) -> str:
    """Returns the SHA-256 of a file that the settings name.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        return sha256_of_file(path)
    except OSError as error:
        raise ConfigError(f"{what} ({path.name}) cannot be read: {error.strerror or type(error).__name__}") from None
