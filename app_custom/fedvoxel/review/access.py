"""Knows who is in: sessions, each a cookie that only this server's own pages carry, and links that work once.

Links and sessions live in memory only and end with the program. Who used a link gets the next one (in the terminal, not
in the page), so that a closed browser can be opened again.
"""

import hashlib
import math
import secrets
import threading
import time
from collections.abc import Callable

_BYTES = 32


class Access:
    """Knows which token and which cookie is whose."""

    def __init__(
        self,
        on_new_link: Callable[[str, str], None] = lambda reader, token: None,
        session_s: float = math.inf,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Knows nobody yet.

        Args:
            on_new_link: Is told the reader and the token when a link was used and another was made.
            session_s: How long a session lasts at most.
            clock: Seconds; goes on while the machine sleeps, as a monotonic clock would not.
        """
        self._tokens: dict[str, str] = {}
        self._sessions: dict[str, tuple[str, float]] = {}
        self._on_new_link, self._session_s, self._clock = on_new_link, session_s, clock
        self._lock = threading.Lock()

    def invite(self, reader: str) -> str:
        """Returns a token that lets `reader` in once."""
        token = secrets.token_urlsafe(_BYTES)
        with self._lock:
            self._tokens[digest_of(token)] = reader
        return token

    def enter(self, token: str) -> str | None:
        """Returns a session for a token and ends the token; None for one that is unknown or used."""
        with self._lock:
            reader = self._tokens.pop(digest_of(token), None)
        if reader is None:
            return None
        session = self.admit(reader)
        self._on_new_link(reader, self.invite(reader))
        return session

    def admit(self, reader: str) -> str:
        """Returns a new session of a reader, whoever they proved to be by other means than a link."""
        session = secrets.token_urlsafe(_BYTES)
        now = self._clock()
        with self._lock:
            self._sessions = {key: one for key, one in self._sessions.items() if now < one[1]}
            self._sessions[digest_of(session)] = (reader, now + self._session_s)
        return session

    def leave(self, session: str) -> None:
        """Ends a session."""
        with self._lock:
            self._sessions.pop(digest_of(session), None)

    def reader_of(self, session: str | None) -> str | None:
        """Returns whose session it is; None for one that is unknown or over."""
        if not session:
            return None
        with self._lock:
            reader, ends = self._sessions.get(digest_of(session), (None, -math.inf))
        return reader if self._clock() < ends else None


def digest_of(secret: str) -> str:
    """Returns what a secret is looked up by: how long a comparison takes says nothing of the secret itself."""
    return hashlib.sha256(secret.encode("utf-8")).hexdigest()
