"""Counts the time that readers spend on cases: a visit cannot have been active for longer than it has lasted."""

import secrets
import threading
import time
from collections.abc import Callable
from typing import Annotated

from pydantic import Field

from fedvoxel.config import FrozenModel
from fedvoxel.review.case_record import ConflictError
from fedvoxel.review.events import Spent, VisitId
from fedvoxel.review.open_case import OpenCase

_TOLERANCE_S = 2.0
_Seconds = Annotated[float, Field(ge=0, le=10_000_000)]


class Activity(FrozenModel):
    """Says for how long a visit has been active; goes with everything that a page sends."""

    visit: VisitId
    active_s: _Seconds


class Visits:
    """Knows the visits of this server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Takes a clock that never goes back, in seconds."""
        self._clock = clock
        self._begun: dict[str, tuple[str, str, float]] = {}
        self._lock = threading.Lock()

    def begin(self, reader: str, case: str) -> str:
        """Returns the name of a new visit."""
        visit = secrets.token_hex(8)
        with self._lock:
            self._begun[visit] = reader, case, self._clock()
        return visit

    def require(self, activity: Activity, reader: str, case: str) -> float:
        """Returns since when the visit lasts, by this object's clock.

        Raises:
            ConflictError: There is no such visit of this reader to this case.
        """
        with self._lock:
            begun = self._begun.get(activity.visit)
        if begun is None or begun[:2] != (reader, case):
            raise ConflictError("this program was started anew since the page was loaded: load the page again")
        return begun[2]

    def note(self, opened: OpenCase, reader: str, case: str, activity: Activity) -> None:
        """Writes down for how long a visit was active: what the page says, and never more than it lasted.

        Raises:
            ConflictError: There is no such visit of this reader to this case.
        """
        lasted = self._clock() - self.require(activity, reader, case) + _TOLERANCE_S
        active_s = round(min(activity.active_s, lasted), 1)
        if active_s > opened.state.visits.get(activity.visit, 0.0):
            opened.note(Spent(visit=activity.visit, active_s=active_s))
