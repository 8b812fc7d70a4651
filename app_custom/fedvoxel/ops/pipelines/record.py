"""What a pipeline's folder keeps: each finished step with all that it depended on, and the submission under way.

The folder is closed to others. It holds means and counts of hospitals, the downloaded result and the package; no scan,
no score of a case and no key.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import StringConstraints

from fedvoxel.config import FrozenModel, ModelT, load_json_config
from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.comparison.parts import Parts
from fedvoxel.records.atomic import write_json
from fedvoxel.records.names import Sha256

_PRIVATE = 0o600


class Submission(FrozenModel):
    """Is a submission that was begun: written before the job is sent, so that it can be sent again.

    Attributes:
        job: Hash of the job's files.
        token: What the server knows the submission by.
    """

    schema_version: Literal[1] = 1
    job: Sha256
    token: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


class Failure(FrozenModel):
    """Says why a step failed; handed from the step's process to the one that runs the pipeline."""

    schema_version: Literal[1] = 1
    step: str
    exit_code: int
    message: str


class PipelineRecord:
    """Is the folder of one pipeline."""

    def __init__(self, folder: Path) -> None:
        """Touches no file."""
        self.folder = folder.absolute()
        self.parts = Parts(self.folder / "steps")
        self.lock: int | None = None
        """The lock's descriptor, while this object is at work."""
        self._submissions, self._failure = self.folder / "submissions", self.folder / "failure.json"

    def submission(self, job: str) -> Submission | None:
        """Returns the submission of a job that was begun, if one was.

        Args:
            job: Hash of the job's files.

        Raises:
            ConfigError: Its file is damaged.
        """
        return self._read(Submission, self._note_of(job), "the note of the submission")

    def begin_submission(self, job: str) -> Submission:
        """Returns the submission of a job, which is begun if there is none of this job."""
        begun = self.submission(job)
        if begun is None:
            begun = Submission(job=job, token=secrets.token_hex(16))
            self._submissions.mkdir(parents=True, exist_ok=True)
            self._write(self._note_of(job), begun)
        return begun

    def end_submission(self, job: str) -> None:
        """Forgets the submission of a job, so that the next one is another job at the server."""
        self._note_of(job).unlink(missing_ok=True)

    def failure(self) -> Failure | None:
        """Returns why the last step failed, if one did since `forget_failure`."""
        return self._read(Failure, self._failure, "the note of the failure")

    def keep_failure(self, failure: Failure) -> None:
        """Notes why a step failed."""
        self._write(self._failure, failure)

    def forget_failure(self) -> None:
        """Removes the note."""
        self._failure.unlink(missing_ok=True)

    def fresh(self, name: str) -> Path:
        """Returns an empty folder of this name: what an interrupted step has left in it is removed."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    @contextmanager
    def held(self) -> Iterator[None]:
        """Makes the folder, and lets one process at a time run the pipeline in it.

        Raises:
            ConfigError: Another does, or the folder cannot be written.
        """
        with self._locked("run.lock") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError("this pipeline runs already in another process; wait until it ends") from None
            yield

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Lets one process at a time do a step; waits for one that outlived the process which ran the pipeline.

        Raises:
            ConfigError: The folder cannot be written.
        """
        with self._locked("step.lock") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self.lock = handle
            try:
                yield
            finally:
                self.lock = None

    @contextmanager
    def _locked(self, name: str) -> Iterator[int]:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE)
        except OSError as error:
            raise ConfigError(f"the pipeline's folder cannot be written ({error.strerror}); choose another") from None
        try:
            yield handle
        finally:
            os.close(handle)

    def _note_of(self, job: str) -> Path:
        return self._submissions / f"{job}.json"

    def _read(self, kind: type[ModelT], path: Path, what: str) -> ModelT | None:
        return load_json_config(kind, path, what) if path.is_file() else None

    def _write(self, path: Path, note: FrozenModel) -> None:
        write_json(path, note.model_dump(mode="json"), mode=_PRIVATE)
