"""Counts the time that readers spend on cases: a visit cannot have been active for longer than it has lasted."""

import secrets
import threading
import time
from collections.abc import Callable

from fedvoxel.review.case_record import ConflictError

_TOLERANCE_S = 2.0


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

    def active_s(self, visit: str, reader: str, case: str, claimed_s: float) -> float:
        """Returns for how long a visit was active: what the page says, and never more than it lasted.

        Raises:
            ConflictError: There is no such visit of this reader to this case.
        """
        with self._lock:
            begun = self._begun.get(visit)
        if begun is None or begun[:2] != (reader, case):
            raise ConflictError("this program was started anew since the page was loaded: load the page again")
        return round(min(claimed_s, self._clock() - begun[2] + _TOLERANCE_S), 1)
