"""The parent's side of a trainer process: start it, ask it, notice its death, end it. Imports no torch."""

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fedvoxel import errors
from fedvoxel.errors import FedVoxelError, TrainingError
from fedvoxel.training.messages import Message, receive, send
from fedvoxel.training.setup import TrainerSetup
from fedvoxel.volumes.exclusions import list_mark

_POLL_S = 0.1
_END_GRACE_S = 3.0

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "1000000000"}
"""Has glibc keep the memory that one training step frees for the next, instead of asking the kernel for fresh pages.

A step on small volumes takes about a tenth less time so, and no more memory at its peak; other C libraries ignore it.
"""

_QUIET_FLOWER = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}
"""Where an app of Flower's trains, Flower tells, asks and installs nothing, whatever the site's environment says."""

TRAINER = "fedvoxel.training.worker"
"""The module that a trainer process runs."""

logger = logging.getLogger(__name__)

OnProgress = Callable[[Mapping[str, Any]], None]


class TrainerDiedError(TrainingError):
    """Says that the child died with a command on its hands."""


class TrainerProcess:
    """Keeps one child process that trains; it is started when needed and started anew after it died."""

    def __init__(self, setup: TrainerSetup, log_file: Path, threads: int, module: str = TRAINER) -> None:
        """Prepares, but does not start, the process.

        Args:
            setup: What the child is told first.
            log_file: Receives the child's output.
            threads: Threads of its numerical libraries, 0 for one per core.
            module: What the child runs.
        """
        self._setup, self._log_file, self._threads, self._module = setup, log_file, threads, module
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._excluded = b""

    @property
    def pid(self) -> int | None:
        """Is the child's process id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> Connection:
        """Starts the child unless it runs already, and returns the connection to it.

        One that has read its cases before a patient was excluded, or taken back in, is ended first.

        Raises:
            CohortError: Nobody can tell whether one was.
        """
        excluded = list_mark(Path(self._setup.site_file).parent)
        if self.pid is not None and self._connection is not None and excluded == self._excluded:
            return self._connection
        self.end()
        self._excluded = excluded
        ours, theirs = socket.socketpair()
        with self._log_file.open("ab") as log, theirs:
            self._process = subprocess.Popen(
                # -P: what lies in the folder that FLARE works in is no module.
                [sys.executable, "-P", "-m", self._module, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(self._threads),
            )
        self._connection = Connection(ours.detach())
        send(self._connection, Message(self._setup.model_dump(mode="json")))
        logger.info("event=trainer_started pid=%d", self._process.pid)
        return self._connection

    def ask(self, message: Message, should_stop: Callable[[], bool], on_progress: OnProgress) -> Message:
        """Sends a command and waits for its result.

        Args:
            message: The command.
            should_stop: Asked several times a second; True ends the child.
            on_progress: Receives the header of each progress message.

        Raises:
            TrainingError: The child died or was ended, or an error of its own that is not FedVoxel's.
            FedVoxelError: What the child raised, as the same class.
        """
        connection = self.start()
        try:
            send(connection, message)
            while True:
                while not connection.poll(_POLL_S):
                    if should_stop():
                        self.end()
                        raise TrainingError("the task was aborted")
                answer = receive(connection)
                if answer.header["event"] != "progress":
                    return _result(answer)
                on_progress(answer.header)
        except (EOFError, OSError):
            raise TrainerDiedError(f"the trainer process ended with {self._how_it_ended()}") from None

    def ask_on(
        self, message: Message, should_stop: Callable[[], bool], on_progress: OnProgress, checkpoint: Path | None
    ) -> Message:
        """Asks as `ask` does; where the child died, a new one goes on, as long as each gets further than the last.

        Args:
            message: See `ask`, as the next two.
            should_stop: See there.
            on_progress: See there.
            checkpoint: The file in which a child keeps how far it is; None where none may go on.

        Raises:
            TrainerDiedError: The child died before it had kept anything, or no further than the one before it.
        """
        reached = _stamp(checkpoint)
        while True:
            try:
                return self.ask(message, should_stop, on_progress)
            except TrainerDiedError as error:
                before, reached = reached, _stamp(checkpoint)
                if reached is None or reached == before:
                    raise
                logger.warning("event=trainer_died reason=%s; a new one goes on from its last epoch", error)

    def end(self) -> None:
        """Ends the child, if there is one, and waits until it is gone."""
        if self._connection:
            self._connection.close()
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_END_GRACE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = self._connection = None

    def _how_it_ended(self) -> str:
        if not self._process:
            return "no exit code"
        try:
            code = self._process.wait(_END_GRACE_S)
        except subprocess.TimeoutExpired:
            self.end()
            return "a closed connection"
        if code == -signal.SIGKILL:
            return "signal 9 (SIGKILL; out of memory, or killed from outside)"
        return f"signal {-code}" if code < 0 else f"exit code {code}"


def _stamp(file: Path | None) -> tuple[int, int] | None:
    """Returns what tells one content of a file, which is always written anew, from the next; None where it has none."""
    if file is None or not file.is_file():
        return None
    found = file.stat()
    return found.st_ino, found.st_mtime_ns


def _result(answer: Message) -> Message:
    if answer.header["event"] == "result":
        return answer
    kind = getattr(errors, str(answer.header.get("kind")), TrainingError)
    message = str(answer.header.get("message"))
    if kind is errors.GeometryError:
        raise errors.GeometryError("unusable", message)
    raise kind(message) if issubclass(kind, FedVoxelError) else TrainingError(message)


def _environment(threads: int) -> dict[str, str]:
    environment = KEEP_MEMORY | os.environ | _QUIET_FLOWER
    if threads:
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return environment
