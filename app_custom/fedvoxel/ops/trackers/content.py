"""What a tracker is told of a run, and which of it is new."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fedvoxel.ops.trackers.sent import Sent


class Point(NamedTuple):
    """Is one value of one metric at one round (0-based)."""

    metric: str
    round: int
    value: float


@dataclass(frozen=True)
class Content:
    """Is all that can be told of a run, or a part of it.

    Attributes:
        params: What was asked, in words; it does not change in a run.
        tags: What may change: the status, the last job.
        points: The metrics.
        files: Contents of files by name.
    """

    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)

    def without(self, sent: Sent) -> "Content":
        """Returns what is new beside what was sent; a parameter that was sent stays as it is."""
        return Content(
            params={name: value for name, value in self.params.items() if name not in sent.params},
            tags={name: value for name, value in self.tags.items() if sent.tags.get(name) != value},
            points=tuple(one for one in self.points if sent.points.get(one.metric, {}).get(one.round) != one.value),
            files={name: content for name, content in self.files.items() if sent.files.get(name) != hash_of(content)},
        )

    @property
    def empty(self) -> bool:
        """Says whether there is nothing."""
        return not (self.params or self.tags or self.points or self.files)


@dataclass(frozen=True)
class TrackedRun:
    """Is a run as a tracker sees it.

    Attributes:
        key: The run's key.
        id: What tells it from an earlier run with the same key: 16 hexadecimal digits.
        name: The job's name.
        status: How the run stands, as its outcome says.
        content: What is told.
    """

    key: str
    id: str
    name: str
    status: str
    content: Content

    @property
    def ended(self) -> bool:
        """Says whether the run has ended, well or badly."""
        return self.status != "unfinished"

    @property
    def failed(self) -> bool:
        """Says whether it ended badly."""
        return self.status in ("failed", "aborted")


def hash_of(content: bytes) -> str:
    """Returns the SHA-256 of some bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()
