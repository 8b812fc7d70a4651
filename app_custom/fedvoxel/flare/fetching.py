"""Fetches the arrays of the sites' replies, a few sites at a time, outside FLARE's locks.

FLARE fetches the arrays of every reply the moment it comes, in as many threads as there are sites: with many sites the
server holds all their updates at once, and one site that is lost in the middle of it ends the server's whole job
process. Here a reply comes without its arrays, and they are fetched when there is room for them; a site whose arrays
cannot be had is a site that is missing.
"""

import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

from nvflare.apis.fl_constant import ServerCommandNames
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.fuel.f3.cellnet.cell import Cell
from nvflare.fuel.f3.cellnet.defs import CellChannel
from nvflare.fuel.utils.fobs import FOBSContextKey
from nvflare.fuel.utils.fobs.decomposers.via_downloader import materialize_lazy_download_refs

from fedvoxel.federation.forecast import fetched_at_once

_TIDY_BYTES = 16 * 2**20
"""After so many bytes of updates Python looks for cycles of garbage; after each, it would take as long as all else."""
_REQUEST_TIMEOUT_S = 60.0
"""Longest wait for the answer to one request for pieces of an update (2 MB at most)."""


NOT_FETCHED = "its update could not be fetched"
"""What the reason begins with why a site that has answered is missing: another time it may be there."""


class Fetches:
    """Takes replies while one question to the sites is open."""

    def __init__(self, cell: Cell, update_bytes: int) -> None:
        """Prepares to fetch updates of about `update_bytes` bytes each over the job's own `cell`."""
        self._cell = cell
        self._ended, self._taking = Signal(), threading.Lock()
        self._untidy_bytes = 0
        self._pool = ThreadPoolExecutor(fetched_at_once(update_bytes), thread_name_prefix="fetch")

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Gives up what is still on its way; nothing is handed over any more."""
        with self._taking:
            self._ended.trigger(True)
        self._pool.shutdown(wait=False, cancel_futures=True)

    def add(self, reply: FLModel, take: Callable[[FLModel], None], fail: Callable[[str], Any]) -> bool:
        """Fetches a reply's arrays when there is room, and then hands it to `take`, one reply at a time.

        Args:
            reply: A reply whose arrays may still be at the site.
            take: Receives the whole reply.
            fail: Receives the reason if the arrays cannot be had.

        Returns:
            Whether the question is still open.
        """
        try:
            self._pool.submit(self._fetch, reply, take, fail)
        except RuntimeError:  # the pool has been shut down
            return False
        return True

    def _fetch(self, reply: FLModel, take: Callable[[FLModel], None], fail: Callable[[str], Any]) -> None:
        try:
            reply.params = materialize_lazy_download_refs(reply.params, self._cell, self._ended)
        except Exception as error:
            # Whatever it was, this site's update is not here and the others' are.
            fail(f"{NOT_FETCHED} ({type(error).__name__})")
            return
        with self._taking:
            self._untidy_bytes += size_bytes(reply.params)
            if not self._ended.triggered:
                take(reply)
            reply.params = None
            if self._untidy_bytes >= _TIDY_BYTES:
                self._untidy_bytes = 0
                gc.collect()


def leave_arrays_at_sites(cell: Cell) -> None:
    """Has the server's job process decode replies without fetching their arrays."""
    cell.update_fobs_context({FOBSContextKey.DOWNLOAD_REQ_TIMEOUT: _REQUEST_TIMEOUT_S})
    cell.decode_pass_through_topics.add((CellChannel.SERVER_COMMAND, ServerCommandNames.SUBMIT_UPDATE))


def size_bytes(arrays: Any) -> int:
    """Returns the size of a model's arrays, 0 where there are none; what is no array counts for nothing."""
    return sum(getattr(array, "nbytes", 0) for array in arrays.values()) if arrays else 0
