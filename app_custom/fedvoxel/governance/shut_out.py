"""Who is shut out of a running server because the certificate that they came with is revoked.

A revocation list names serial numbers, and a message names its sender. The server notes with which certificate each
site and person came in; the note survives a restart, after which a site goes on with the token that it has, and shows
no certificate. A job's process reads who is shut out, so that its outcome can say why a site is missing.

Who is shut out is so at once, also where a full disk takes no note of it. Who comes with another certificate than
before is let in only once that is noted: a restart must not forget it.
"""

import json
import logging
import threading
from collections.abc import Collection
from pathlib import Path

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.errors import ConfigError
from fedvoxel.plain_file import read_plain
from fedvoxel.records.atomic import write_json
from fedvoxel.records.revocation import serial_text

REVOKED = "its certificate is revoked"
"""Why a site is missing from a round, as the outcome says it."""

_logger = logging.getLogger(__name__)

_SEEN, _OUT = "seen.json", "shut_out.json"


class _Seen(FrozenModel):
    serials: dict[str, str]


class Arrivals:
    """Are the certificates with which everyone came in last."""

    def __init__(self, state: Path) -> None:
        """Reads the note of the run before; `state` is the server's `state/` folder.

        A damaged note is put aside with an alarm, since handshakes and connections are judged without it.
        """
        self._folder, self._lock = state / "certificates", threading.Lock()
        self._serials = _noted(self._folder / _SEEN)
        self._out: frozenset[str] = frozenset()
        self.unwritten: str | None = None
        """Why job processes may not read who is shut out; None while they can."""

    @property
    def shut_out(self) -> frozenset[str]:
        """Are the names of those whose messages are refused."""
        return self._out

    def came(self, name: str, serial_number: int, revoked: Collection[int]) -> None:
        """Notes with which certificate somebody came in, before they are let in.

        Raises:
            OSError: It is another than before, and could not be noted.
        """
        with self._lock:
            if self._serials.get(name) != serial_text(serial_number):
                serials = self._serials | {name: serial_text(serial_number)}
                write_json(self._folder / _SEEN, {"serials": serials}, mode=0o600)
                self._serials = serials
            self._judge(revoked)

    def judge(self, revoked: Collection[int]) -> frozenset[str]:
        """Takes a new list into account, and returns who is shut out now and was not before."""
        with self._lock:
            before = self._out
            self._judge(revoked)
            return self._out - before

    def _judge(self, revoked: Collection[int]) -> None:
        bad = {serial_text(number) for number in revoked}
        self._out = frozenset(name for name, serial in self._serials.items() if serial in bad)
        path = self._folder / _OUT
        try:
            if _names_in(path) != self._out:
                write_json(path, sorted(self._out), mode=0o600)
            self.unwritten = None
        except OSError as error:
            self.unwritten = f"who is shut out, state/certificates/{_OUT} ({error.strerror})"


def read_shut_out(state: Path) -> frozenset[str]:
    """Returns who is shut out, for a job's process to say; nobody where no server watches, or the note is damaged."""
    path = state / "certificates" / _OUT
    names = _names_in(path)
    if names is None and path.exists():
        _logger.warning("event=shut_out_unreadable")
    return names or frozenset()


def read_seen(state: Path) -> frozenset[str]:
    """Returns everybody who has ever come to a server, by name; nobody where no note of that can be read."""
    try:
        return frozenset(load_json_config(_Seen, state / "certificates" / _SEEN, "the note of who came").serials)
    except ConfigError:
        return frozenset()


def _names_in(path: Path) -> frozenset[str] | None:
    """Returns the names in a note of who is shut out; None where it is missing or damaged."""
    try:
        return frozenset(map(str, json.loads(read_plain(path))))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def _noted(path: Path) -> dict[str, str]:
    try:
        return dict(load_json_config(_Seen, path, "the note of who came with which certificate").serials)
    except ConfigError as error:
        if path.exists():
            _logger.critical("event=arrivals_unreadable a site behind a relay must be started again: %s", error)
            path.replace(path.with_suffix(".damaged"))
        return {}
