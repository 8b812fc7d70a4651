"""Asks again, while a server runs, whether its package may still be used: it may be withdrawn at any time."""

import time
from collections.abc import Callable

from fedvoxel.errors import FedVoxelError

EVERY_S = 600.0
"""An index is a file on a share: often enough for people, and seldom enough for the share."""


class Standing:
    """Is what the index of releases says of a package now, give or take `EVERY_S`.

    An index that cannot be read, or is not to be trusted, says nothing good of a package either: until it can be read
    again there are no results.
    """

    def __init__(self, ask: Callable[[], tuple[str, ...]], clock: Callable[[], float] = time.monotonic) -> None:
        """Asks nothing yet.

        Args:
            ask: Returns what a reader of every result must know, or raises why the package may not be used.
            clock: The seconds, from any beginning.
        """
        self._ask, self._clock = ask, clock
        self._asked_at: float | None = None
        self._remarks: tuple[str, ...] = ()
        self._refusal: FedVoxelError | None = None

    def remarks(self) -> tuple[str, ...]:
        """Returns what a reader of every result must know, one sentence each.

        Raises:
            FedVoxelError: The package may not be used.
        """
        now = self._clock()
        if self._asked_at is None or now - self._asked_at >= EVERY_S:
            self._asked_at, self._refusal = now, None
            try:
                self._remarks = self._ask()
            except FedVoxelError as error:
                self._refusal = error
        if self._refusal is not None:
            raise self._refusal
        return self._remarks
