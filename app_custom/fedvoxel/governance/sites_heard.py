"""Which sites a server has heard of, and when last: noted from heartbeats, for whoever may look at the server's files.

Nothing is decided by it. A site's organisation is that of the certificate with which it registered. A note that cannot
be written is tried again with a later heartbeat, and keeps no site from anything.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime

from fedvoxel.config import FrozenModel, load_json_config
from fedvoxel.errors import ConfigError
from fedvoxel.records.atomic import write_json

HEARD_FILE = "sites_heard.json"
"""The note's name in the server's `state/` folder."""

WRITE_EVERY_S = 5.0
"""So many seconds lie between two notes, unless a site is new."""

_logger = logging.getLogger(__name__)


class HeardSite(FrozenModel):
    """Is what is known of one site.

    Attributes:
        organisation: Whose it is, by its certificate; empty where it has not registered since notes are kept.
        at: When it was heard of last, to `WRITE_EVERY_S`.
    """

    organisation: str = ""
    at: AwareDatetime


class SitesHeard(FrozenModel):
    """Is the note; sites by name."""

    schema_version: Literal[1] = 1
    sites: dict[str, HeardSite]


class SitesHeardNote:
    """Keeps the note; may be told from several threads."""

    def __init__(self, state: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Reads what was noted before; a damaged note begins anew.

        Args:
            state: The server's `state/` folder.
            clock: Counts seconds.
        """
        self._path, self._clock, self._lock = state / HEARD_FILE, clock, threading.Lock()
        try:
            self._sites = dict(read_sites_heard(state).sites)
        except ConfigError as error:
            _logger.warning("event=sites_heard_begun_anew reason=%s", error)
            self._sites = {}
        self._due = clock()
        self._failed = False

    def heard(self, site: str, organisation: str) -> None:
        """Notes that a site is there.

        Args:
            site: Its name.
            organisation: By its certificate; empty where the server was restarted since, then the earlier one stands.
        """
        with self._lock:
            before = self._sites.get(site)
            known = organisation or (before.organisation if before else "")
            self._sites[site] = HeardSite(organisation=known, at=datetime.now(UTC))
            new = before is None or before.organisation != known
            if new or self._clock() >= self._due:
                self._write()

    def _write(self) -> None:
        self._due = self._clock() + WRITE_EVERY_S
        try:
            write_json(self._path, SitesHeard(sites=self._sites).model_dump(mode="json"), mode=0o600)
            self._failed = False
        except OSError as error:
            if not self._failed:
                _logger.warning("event=sites_heard_not_written reason=%s", error.strerror)
            self._failed = True


def read_sites_heard(state: Path) -> SitesHeard:
    """Returns the note; one without sites where there is none yet.

    Raises:
        ConfigError: It is damaged.
    """
    if not (state / HEARD_FILE).exists():
        return SitesHeard(sites={})
    return load_json_config(SitesHeard, state / HEARD_FILE, "the note of which sites were heard of")
