"""The trainer process: a loop of commands over one inherited connection, apart from everything that it could take down.

A crash, an exhausted memory or a kill of this process is one failed task for its parent. It ends by itself when the
parent is gone. What it reports of an error is the text of FedVoxel's own errors, or the bare type of any other: the
text of a foreign error may hold a path or a name.
"""

import gc
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Protocol

from fedvoxel.config import parse_config
from fedvoxel.errors import FedVoxelError, TrainingError
from fedvoxel.training.messages import Message, receive, send
from fedvoxel.training.setup import TrainerSetup

if TYPE_CHECKING:
    from fedvoxel.training.local_steps import Progress

_PROGRESS_INTERVAL_S = 0.5
_LEFT_OUT = ("matplotlib", "pandas", "requests", "scipy.signal", "scipy.stats", "sklearn", "tensorboard")
"""What MONAI imports wherever it is installed, and training never calls: half of the time that a trainer starts in."""

logger = logging.getLogger(__name__)


class SiteWork(Protocol):
    """Is what a process of this kind does; it is made from the set-up."""

    def prepare(self) -> None:
        """Reads and builds what every command needs."""

    def answer(self, message: Message, progress: "Progress") -> Message:
        """Carries out one command and returns the result."""


Opener = Callable[[TrainerSetup], SiteWork]


def main(descriptor: int, opener: Opener) -> None:
    """Serves commands on the connection `descriptor` until it closes.

    Args:
        descriptor: An inherited socket.
        opener: Makes what answers; it imports what that needs, which takes seconds.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    connection = Connection(descriptor)
    try:
        _serve(connection, opener)
    except (EOFError, OSError):
        logger.info("event=parent_gone")


def _serve(connection: Connection, opener: Opener) -> None:
    setup = parse_config(TrainerSetup, dict(receive(connection).header), "the trainer's set-up")
    for name in () if setup.task.training.flower else _LEFT_OUT:
        # Python's own sign for "do not import this"; MONAI takes each of them for not installed. A Flower app may not.
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]
    work, problem = _open(setup, opener)
    while True:
        message = receive(connection)
        send(connection, problem or _answer(work, message, _reporter(connection)))


def _open(setup: TrainerSetup, opener: Opener) -> tuple[SiteWork | None, Message | None]:
    """Imports, reads and builds what every command needs, before the first command comes."""
    # Nothing of all that becomes garbage, and looking for it would take a third of the time.
    gc.disable()
    try:
        # torch and MONAI take seconds to import; the parent must not wait for them to send the set-up.
        work = opener(setup)
        work.prepare()
    except Exception as error:
        return None, _error_message(error)
    finally:
        gc.freeze()
        gc.enable()
    return work, None


def _answer(work: SiteWork | None, message: Message, progress: "Progress") -> Message:
    try:
        if work is None:
            raise TrainingError("the trainer was not opened")
        return work.answer(message, progress)
    except Exception as error:
        return _error_message(error)


def _error_message(error: Exception) -> Message:
    if isinstance(error, FedVoxelError):
        return Message({"event": "error", "kind": type(error).__name__, "message": str(error)})
    return Message({"event": "error", "kind": "TrainingError", "message": _describe(error)})


def _reporter(connection: Connection) -> "Progress":
    last_s = 0.0

    def report(step: int, steps: int, loss: float | None) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s >= _PROGRESS_INTERVAL_S or step == steps:
            last_s = now_s
            send(connection, Message({"event": "progress", "step": step, "steps": steps, "loss": loss}))

    return report


def _describe(error: Exception) -> str:
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory; lower training.batch_size or training.sampling.size, or free memory at the site"
    if isinstance(error, OSError):  # a full disk, most likely; the text of the error itself would name the file
        return f"the site could not read or write its files ({error.strerror})"
    logger.error(
        "event=unexpected type=%s at\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__))
    )
    return f"unexpected {type(error).__name__}; the site's trainer.log says where"


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _trainer(setup: TrainerSetup) -> SiteWork:
    if setup.task.training.flower:
        from fedvoxel.training.flower_site import FlowerSite

        return FlowerSite(setup, setup.task.training.flower)
    from fedvoxel.training.site_trainer import SiteTrainer

    return SiteTrainer(setup)


if __name__ == "__main__":
    main(int(sys.argv[1]), _trainer)
