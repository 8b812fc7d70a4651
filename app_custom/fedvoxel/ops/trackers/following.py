"""Follows a run until it ends, and sends what is new after every look. A tracker that is down is tried again."""

import time
from collections.abc import Callable

from fedvoxel.errors import ConfigError, TrackerError
from fedvoxel.ops.trackers.content import Content, TrackedRun
from fedvoxel.ops.trackers.sender import Sender


def follow(
    look: Callable[[], TrackedRun],
    sender: Sender,
    pause_s: float,
    sent: Callable[[TrackedRun, Content], None],
    trouble: Callable[[str], None],
) -> None:
    """Sends until the run has ended, and ends the session.

    Args:
        look: Reads the run's record.
        sender: What sends.
        pause_s: Seconds between two looks.
        sent: Is told of all that was sent.
        trouble: Is told why something could not be sent or read, once for each reason in a row.

    Raises:
        TrackerError: The run has ended, and the tracker does not take the rest.
        ConfigError: The record could not be read even once.
    """
    run, said = look(), ""
    while True:
        try:
            sent(run, sender.send(run, files=run.ended))
            said = ""
        except TrackerError as error:
            if run.ended:
                raise
            if str(error) != said:
                trouble(said := str(error))
        if run.ended:
            return
        time.sleep(pause_s)
        run, said = _look_again(look, run, said, trouble)


def _look_again(
    look: Callable[[], TrackedRun], run: TrackedRun, said: str, trouble: Callable[[str], None]
) -> tuple[TrackedRun, str]:
    """Returns the run as it is now, or as it was: a server whose disk is full has no outcome for a while."""
    try:
        return look(), said
    except ConfigError as error:
        if str(error) != said:
            trouble(str(error))
        return run, str(error)
