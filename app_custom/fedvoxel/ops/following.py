"""Follows a run until it ends, and sends what is new after every look. Whoever it goes to may be down meanwhile."""

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from fedvoxel.errors import ConfigError, TrackerError


class Followed(Protocol):
    """Is a run as it was seen."""

    @property
    def ended(self) -> bool:
        """Says whether it has ended, well or badly."""


RunT = TypeVar("RunT", bound=Followed)


def follow(
    look: Callable[[], RunT], send: Callable[[RunT], None], pause_s: float, trouble: Callable[[str], None]
) -> None:
    """Sends until the run has ended.

    Args:
        look: Reads the run's record.
        send: Sends what is new.
        pause_s: Seconds between two looks.
        trouble: Is told why something could not be sent or read, once for each reason in a row.

    Raises:
        TrackerError: The run has ended, and the rest is not taken.
        ConfigError: The record could not be read even once.
    """
    run, troubles = look(), _Troubles(trouble)
    while True:
        try:
            send(run)
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
