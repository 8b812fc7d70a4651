"""The desk that cases lie on: loads them, keeps the last few in memory, and fetches the next before it is asked for."""

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from fedvoxel.errors import FedVoxelError, ReviewError
from fedvoxel.review.case_record import CaseRecord
from fedvoxel.review.open_case import CaseTerms, OpenCase
from fedvoxel.review.reading import Reading
from fedvoxel.review.shown_case import ShownCase, shown_case
from fedvoxel.review.study import Study

MOST_LOADED = 3
"""Cases in memory; a study of 150 slices of 512 x 512 takes some 250 MB."""

_MOST_OPEN = 6


class Desk:
    """Keeps cases at hand.

    Attributes:
        reading: What is read.
        study: Where answers are kept.
    """

    def __init__(self, reading: Reading, study: Study) -> None:
        """Loads nothing yet."""
        self.reading, self.study = reading, study
        self._structures = tuple(structure.name for structure in reading.structures)
        self._shown: OrderedDict[str, Future[ShownCase]] = OrderedDict()
        self._open: OrderedDict[tuple[str, str], OpenCase] = OrderedDict()
        self._lock = threading.Lock()
        self._loader = ThreadPoolExecutor(max_workers=2, thread_name_prefix="load-case")

    def close(self) -> None:
        """Waits for no case."""
        self._loader.shutdown(wait=False, cancel_futures=True)

    def prefetch(self, case: str) -> None:
        """Loads a case that will be asked for soon, in the background."""
        if self.reading.case(case).waiting is None:
            self._future(case)

    def prefetch_after(self, reader: str, case: str) -> None:
        """Loads the case that comes after this one in the reader's order."""
        order = self.study.order(reader)
        following = order[order.index(case) + 1 :]
        if following:
            self.prefetch(following[0])

    def prefetch_open(self, reader: str) -> None:
        """Loads the first case that the reader has not answered, if its record can be read."""
        for case in self.study.order(reader):
            with suppress(FedVoxelError):
                if self.reading.case(case).waiting is None and self.record(reader, case).read().status != "done":
                    return self.prefetch(case)

    def record(self, reader: str, case: str) -> CaseRecord:
        """Returns the record of a reader's work on a case."""
        return CaseRecord(self.study.case_folder(reader, self.reading.case(case).case))

    def at(self, reader: str, case: str) -> OpenCase:
        """Returns the reader's open case, loaded if it is not.

        Raises:
            FedVoxelError: The case cannot be shown.
        """
        with self._lock:
            opened = self._open.get((reader, case))
            if opened is not None:
                self._open.move_to_end((reader, case))
                self._shown.move_to_end(case)
                return opened
        return self._opened(reader, case)

    def reopen(self, reader: str, case: str) -> OpenCase:
        """Returns the reader's case as its record now says, whoever wrote it.

        Raises:
            FedVoxelError: The case cannot be shown.
        """
        with self._lock:
            self._open.pop((reader, case), None)
        return self._opened(reader, case)

    def _opened(self, reader: str, case: str) -> OpenCase:
        source = self.reading.case(case)
        if source.waiting is not None:
            raise ReviewError(source.waiting)
        shown = self._loaded(case)
        names = self.study.shown_candidates(case)
        terms = CaseTerms(names, self._structures, self.study.settings.blinded, reader)
        fresh = OpenCase(shown, terms, self.record(reader, case))
        with self._lock:
            opened = self._open.setdefault((reader, case), fresh)
            self._open.move_to_end((reader, case))
            while len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
        return opened

    def _loaded(self, case: str) -> ShownCase:
        try:
            return self._future(case).result()
        except FedVoxelError:
            with self._lock:
                self._shown.pop(case, None)  # the file may be mended meanwhile
            raise

    def _load(self, case: str) -> ShownCase:
        try:
            return shown_case(self.reading.case(case).load(), self.reading.presets)
        except FedVoxelError:
            raise
        except Exception as error:  # of a library, or too little memory; its own text may quote the case
            raise ReviewError(f"this case cannot be shown ({type(error).__name__})") from None

    def _future(self, case: str) -> "Future[ShownCase]":
        with self._lock:
            if case not in self._shown:
                self._shown[case] = self._loader.submit(self._load, case)
            self._shown.move_to_end(case)
            while len(self._shown) > MOST_LOADED:
                gone, _ = self._shown.popitem(last=False)
                for key in [key for key in self._open if key[1] == gone]:
                    del self._open[key]
            return self._shown[case]
