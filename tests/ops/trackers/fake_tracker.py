"""A tracker in memory that fails when it is told to, and runs to send to it."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedvoxel.federation.outcome import RunOutcome
from fedvoxel.ops.trackers.content import Content, Point, TrackedRun
from tests.sample_run import sample_outcome

SECRET = "s3cr3t-t0ken"


class FakeTracker:
    """Remembers what it is told, by run."""

    name = "Fake"

    def __init__(self, whole: bool = False) -> None:
        self.whole = whole
        self.begun: list[str | None] = []
        self.told: list[tuple[str, Any]] = []
        self.finished: list[str] = []
        self.fails_at: str | None = None

    def start(self, run: TrackedRun, handle: str | None) -> str:
        self._do("start")
        self.begun.append(handle)
        return handle or "their-name"

    def log_params(self, params: Mapping[str, str]) -> None:
        self._do("params")
        self.told.append(("params", dict(params)))

    def log_tags(self, tags: Mapping[str, str]) -> None:
        self._do("tags")
        self.told.append(("tags", dict(tags)))

    def log_points(self, points: Sequence[Point]) -> None:
        self._do("points")
        self.told.append(("points", list(points)))

    def log_file(self, name: str, content: bytes) -> None:
        self._do("file")
        self.told.append(("file", (name, content)))

    def finish(self, run: TrackedRun) -> str:
        self._do("finish")
        self.finished.append(run.status)
        return "look there"

    def points(self) -> list[Point]:
        """All points that it was told, in order."""
        return [point for kind, what in self.told if kind == "points" for point in what]

    def _do(self, step: str) -> None:
        if step == self.fails_at:
            raise RuntimeError(f"POST https://user:{SECRET}@tracker.example failed, Authorization: Bearer {SECRET}")


def run_of(rounds: int, status: str = "unfinished", **tags: str) -> TrackedRun:
    """A run of so many rounds, with one metric."""
    points = tuple(Point("loss", index, 1.0 / (1 + index)) for index in range(rounds))
    told = {"status": status, **tags}
    content = Content({"rounds_planned": "3"}, told, points, {"outcome.json": f"{rounds} {status}".encode()})
    return TrackedRun("blobs", "ab" * 8, "blob_job", status, content)


def under_way(rounds: int) -> RunOutcome:
    """The sample run as it stood after so many rounds."""
    values = dict(sample_outcome()) | {
        "status": "unfinished",
        "reason": "the run has not ended",
        "rounds": sample_outcome().rounds[:rounds],
        "rounds_committed": rounds,
        "best_round": None,
        "test": {},
        "untested": None,
        "unvalidated": None,
        "model": None,
        "best_model": None,
    }
    return RunOutcome.model_validate(values)
