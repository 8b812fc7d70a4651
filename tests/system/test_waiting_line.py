"""A hospital that waits for a slower one leaves its line nearly idle: its bytes are counted where its cable ends."""

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from fedvoxel.federation.outcome import load_outcome
from tests.blob_job import controller_of, give_blobs, job_documents, write_job
from tests.system.network import why_not
from tests.system.networked import HOSPITALS, SCIENTIST, networked

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")]

ROUNDS = 2
QUICK, SLOW = HOSPITALS
MOST_BYTES_S = 15_000
"""A request every 0.2 s, as FLARE makes them, is 29 kB/s both ways together; the job's heartbeats are about 1 kB/s."""

LOGGER = logging.getLogger(__name__)


class Counted:
    """Is how many bytes a device had carried at each moment, in seconds since 1970."""

    def __init__(self, device: str) -> None:
        self._counts = [Path("/sys/class/net") / device / "statistics" / f"{way}_bytes" for way in ("rx", "tx")]
        self._samples: list[tuple[float, int]] = []
        self._ended = threading.Event()

    @contextmanager
    def watched(self) -> Iterator[None]:
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield
        finally:
            self._ended.set()
            watcher.join()

    def between(self, start: float, end: float) -> int:
        inside = [size for moment, size in self._samples if start <= moment <= end]
        return inside[-1] - inside[0]

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self._samples.append((time.time(), sum(int(count.read_text()) for count in self._counts)))


def waits(log: Path) -> list[tuple[float, float]]:
    """Returns from when to when a hospital had nothing to do between two tasks, in seconds since 1970."""
    said = re.findall(
        r"^(\S+ \S+) .*(invoking task executor|task result sent)", log.read_text(errors="replace"), re.MULTILINE
    )
    moments = [(datetime.fromisoformat(at.replace(",", ".")).timestamp(), what) for at, what in said]
    return [(done, asked) for (done, what), (asked, _) in pairwise(moments) if what == "task result sent"]


def test_a_hospital_that_waits_for_another_makes_few_requests(tmp_path: Path) -> None:
    documents = job_documents(epochs_per_round=50)
    controller_of(documents)["args"]["rounds"]["num_rounds"] = ROUNDS
    job = write_job(tmp_path / "job", documents)
    with networked(tmp_path) as consortium:
        for hospital, cases in ((QUICK, 12), (SLOW, 60)):
            give_blobs(consortium.kits[hospital], cases)
        counted = Counted(consortium.network.cable(QUICK))
        with counted.watched():
            words = ["fedvoxel", "job", "submit", job, "--kit", consortium.kits[SCIENTIST], "--download", tmp_path]
            done = consortium.network.run("scientist", words, timeout_s=400)
        assert done.returncode == 0, done.stdout + done.stderr
        outcome = load_outcome(next(tmp_path.glob("*/workspace/outcome.json")))
        log = consortium.kits[QUICK] / outcome.job_id / "log.txt"
        long = sorted(waits(log), key=lambda wait: wait[0] - wait[1])[:ROUNDS]
    assert outcome.status == "finished" and outcome.rounds[-1].contributed.keys() == set(HOSPITALS)
    for start, end in long:
        LOGGER.info("waited %.1f s, %d bytes", end - start, counted.between(start + 0.5, end - 0.5))
        assert counted.between(start + 0.5, end - 0.5) < MOST_BYTES_S * (end - start)
