"""Sign-ins that were begun: each belongs to one browser, is finished once, and is forgotten after ten minutes."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from fedvoxel.review.access import digest_of

LIFE_S = 600
MOST = 1000
"""Sign-ins that are remembered; anyone who reaches the page can begin one."""


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class PendingSignIn:
    """Is a sign-in that was begun.

    Attributes:
        state: Comes back with the answer: the answer is to this question.
        nonce: Comes back in the token: the token was made for this sign-in.
        verifier: Proves to the provider that who asks for the token is who began (PKCE).
        begun_at: When, in seconds.
    """

    begun_at: float
    state: str = field(default_factory=_secret, repr=False)
    nonce: str = field(default_factory=_secret, repr=False)
    verifier: str = field(default_factory=_secret, repr=False)


class PendingSignIns:
    """Keeps what was begun, by what the browser's cookie says."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """Keeps nothing yet."""
        self._begun: OrderedDict[str, PendingSignIn] = OrderedDict()
        self._clock = clock
        self._lock = threading.Lock()

    def begin(self) -> tuple[str, PendingSignIn]:
        """Returns what the browser's cookie is to say, and the sign-in."""
        browser, begun = _secret(), PendingSignIn(self._clock())
        with self._lock:
            self._begun[digest_of(browser)] = begun
            while len(self._begun) > MOST:
                self._begun.popitem(last=False)
        return browser, begun

    def take(self, browser: str, state: str) -> PendingSignIn | None:
        """Returns the sign-in that this browser began with this state, once; None if there is none."""
        with self._lock:
            begun = self._begun.pop(digest_of(browser), None)
        if begun is None or self._clock() > begun.begun_at + LIFE_S:
            return None
        return begun if secrets.compare_digest(begun.state.encode(), state.encode()) else None
