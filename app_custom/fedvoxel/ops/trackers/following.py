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
    run, troubles = look(), _Troubles(trouble)
    while True:
        try:
            sent(run, sender.send(run, files=run.ended))
            troubles.over("tracker")
        except TrackerError as error:
            if run.ended:
                raise
            troubles.tell("tracker", str(error))
        if run.ended:
            return
        time.sleep(pause_s)
        try:
            run = look()
            troubles.over("record")
        except ConfigError as error:
            # A server whose disk is full has no outcome for a while.
            troubles.tell("record", str(error))


class _Troubles:
    """Tells each trouble once, until it is over."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._told: dict[str, str] = {}

    def tell(self, what: str, text: str) -> None:
        if self._told.get(what) != text:
            self._tell(text)
        self._told[what] = text

    def over(self, what: str) -> None:
        self._told.pop(what, None)
