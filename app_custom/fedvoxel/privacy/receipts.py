"""One private run's receipts at the server: which release each accepted update was, and what the server let out."""

import hashlib
from typing import Any

from fedvoxel.errors import UpdateError
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.server_ledger import Received, Released, ServerLedger
from fedvoxel.records.names import RELEASE_ID
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import to_bytes


class Receipts:
    """Holds a round's receipts until the round closes, and then has the ledger write them."""

    def __init__(self, ledger: ServerLedger, run_key: str, job_id: str, event: GaussianEvent) -> None:
        """Reads what the ledger has of earlier runs.

        Args:
            ledger: The server's.
            run_key: Names the run.
            job_id: The present attempt.
            event: What a round costs whom the job's section protects.

        Raises:
            LedgerError: The ledger cannot be read or trusted.
        """
        self._ledger, self._run_key, self._job_id, self._event = ledger, run_key, job_id, event
        self._open: list[Received] = []
        entries = [entry for entry in ledger.read()[1] if isinstance(entry, Received)]
        self._places = {entry.release_id: (entry.run_key, entry.site, entry.round) for entry in entries}

    def check(self, site: str, round_index: int, release_id: Any) -> str:
        """Returns a release's id, if it is new, or was received of this site for this round of an earlier attempt.

        Raises:
            UpdateError: It is no id, or stands for another update: a site's ledger gives each an id of its own.
        """
        if not isinstance(release_id, str) or not RELEASE_ID.fullmatch(release_id):
            raise UpdateError("expected the id of a release in the site's ledger; under a privacy section nothing else")
        place = self._run_key, site, round_index
        if self._places.get(release_id, place) != place:
            raise UpdateError("a release that was received before, in another round or run or from another site")
        return release_id

    def add(self, site: str, round_index: int, release_id: str, arrays: Arrays) -> None:
        """Notes an update that was accepted."""
        self._places[release_id] = self._run_key, site, round_index
        received = Received(
            run_key=self._run_key,
            job_id=self._job_id,
            site=site,
            round=round_index,
            event=self._event,
            release_id=release_id,
            sha256=hashlib.sha256(to_bytes(arrays)).hexdigest(),
        )
        self._open.append(received)

    def write(self) -> None:
        """Writes what was noted since the last time, before the round closes.

        Raises:
            LedgerError: The ledger cannot be trusted or written.
        """
        received, self._open = self._open, []
        self._ledger.receive(received)

    def is_released(self, round_index: int) -> bool:
        """Says whether the ledger has that a round's model may leave.

        Raises:
            LedgerError: The ledger cannot be read or trusted.
        """
        return self._ledger.is_released(self._run_key, round_index)

    def release(self, round_index: int, sha256: str) -> None:
        """Writes that the noised model of a round, whose bytes are on disk, may leave.

        Raises:
            LedgerError: The round was released before, or the ledger cannot be trusted or written.
        """
        run_key, job_id = self._run_key, self._job_id
        self._ledger.release(
            Released(run_key=run_key, job_id=job_id, round=round_index, event=self._event, sha256=sha256)
        )
