"""Lets readers in: a link that works once, exchanged for a cookie that only this server's own pages carry.

Links and cookies live in memory only and end with the program. Who used a link gets the next one (in the terminal, not
in the page), so that a closed browser can be opened again.
"""

import hashlib
import secrets
import threading
from collections.abc import Callable

_BYTES = 32


class Access:
    """Knows which token and which cookie is whose."""

    def __init__(self, on_new_link: Callable[[str, str], None] = lambda reader, token: None) -> None:
        """Knows nobody yet.

        Args:
            on_new_link: Is told the reader and the token when a link was used and another was made.
        """
        self._tokens: dict[str, str] = {}
        self._sessions: dict[str, str] = {}
        self._on_new_link = on_new_link
        self._lock = threading.Lock()

    def invite(self, reader: str) -> str:
        """Returns a token that lets `reader` in once."""
        token = secrets.token_urlsafe(_BYTES)
        with self._lock:
            self._tokens[_digest(token)] = reader
        return token

    def enter(self, token: str) -> str | None:
        """Returns a session for a token and ends the token; None for one that is unknown or used."""
        with self._lock:
            reader = self._tokens.pop(_digest(token), None)
            if reader is None:
                return None
            session = secrets.token_urlsafe(_BYTES)
            self._sessions[_digest(session)] = reader
        self._on_new_link(reader, self.invite(reader))
        return session

    def reader_of(self, session: str | None) -> str | None:
        """Returns whose session it is, or None."""
        with self._lock:
            return self._sessions.get(_digest(session)) if session else None


def _digest(secret: str) -> str:
    """Returns what a secret is looked up by: how long a comparison takes says nothing of the secret itself."""
    return hashlib.sha256(secret.encode("utf-8")).hexdigest()
