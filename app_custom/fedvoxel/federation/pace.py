"""How long a site that has nothing to do rests before it asks for its next task again.

Each request costs the site's line some 3 kB in each direction, and the server some of its time. A site that rests too
long holds up the next round. What is known of when its next task will come decides: how long each of the sites that
still work took for the same question the last time.
"""

from collections.abc import Collection
from dataclasses import dataclass

_REQUESTS_PER_S = 20.0
"""Most requests that all waiting sites together make of the server in a second."""

_LATE_S, _LATE_SHARE = 1.0, 0.02
"""Longest rest while a question may end at any moment: in seconds, and as a share of the time that it has taken,
whichever is more. It does where nothing is known of it, and once it has taken longer than the last one."""

_FIRST_SHARE = 0.1
"""Longest rest where nothing is known, as a share of the time that the question has taken."""

_LONG_S, _LONG_SHARE = 5.0, 0.02
"""Longest rest long before the expected end: in seconds, and as a share of the expected time, whichever is more."""

_LEAST_SHARE = 0.01
"""Shortest rest, as a share of the expected time."""

_LONGEST_S = 30.0
"""No rest is longer; a site that rests does not hear that the job has ended."""


@dataclass(frozen=True)
class Question:
    """Is how a question to the sites stands.

    Attributes:
        task_name: What they are asked.
        elapsed_s: Seconds since they were.
        working: Connected sites that have not answered.
        sites: How many sites the job has, those that were not asked included.
        coming: Whether some of those who work have not yet come for the question.
        ends_s: Seconds after which nobody is waited for any more.
    """

    task_name: str
    elapsed_s: float
    working: Collection[str]
    sites: int
    coming: bool
    ends_s: float

    @property
    def idle(self) -> int:
        """Is how many sites have nothing to do, and ask."""
        return self.sites - len(self.working)


class Pace:
    """Remembers how long each site takes for each kind of question."""

    def __init__(self, shortest_s: float) -> None:
        """Takes the interval that the job asks for, in seconds; no rest is shorter."""
        self._shortest_s = shortest_s
        self._took_s: dict[str, dict[str, float]] = {}
        self._now_s: dict[str, float] = {}
        self._longest_told_s = shortest_s

    def answered(self, sites: Collection[str], elapsed_s: float) -> None:
        """Notes who has answered the open question; who had before is left as it was."""
        self._now_s = dict.fromkeys(sites, elapsed_s) | self._now_s

    def done(self, task_name: str) -> None:
        """Notes that the question has ended, so that its times are the last ones."""
        self._took_s.setdefault(task_name, {}).update(self._now_s)
        self._now_s = {}

    def rest_s(self, question: Question) -> float:
        """Returns how many seconds whoever asks now is told to rest.

        Who comes for the question is told the same, and rests so long after its answer, when the next task is near:
        while sites are still coming, the rest is the shortest one.
        """
        coming = question.coming and question.elapsed_s < self._longest_told_s + _LATE_S
        if coming or not question.idle:
            return self._shortest_s
        expected_s = self._expected_s(question)
        rest_s = _first(question) if expected_s is None else _near(question.elapsed_s, expected_s)
        told_s = max(self._shortest_s, question.idle / _REQUESTS_PER_S, min(rest_s, _LONGEST_S))
        self._longest_told_s = max(self._longest_told_s, told_s)
        return told_s

    def _expected_s(self, question: Question) -> float | None:
        """Returns the time by which the last of those who work will have answered; None where nothing is known."""
        took = self._took_s.get(question.task_name)
        if not took or not question.working:
            return None
        slowest_s = max(took.values())
        return min(question.ends_s, max(took.get(site, slowest_s) for site in question.working))


def _near(elapsed_s: float, expected_s: float) -> float:
    """Returns half of the time to the expected end, or after it, half of the time since."""
    longest_s = _late(elapsed_s) if elapsed_s > expected_s else max(_LONG_S, _LONG_SHARE * expected_s)
    return max(_LEAST_SHARE * expected_s, min(abs(expected_s - elapsed_s) / 2, longest_s))


def _first(question: Question) -> float:
    """Returns the rest where no such question has been asked before."""
    elapsed_s = question.elapsed_s
    return min(_FIRST_SHARE * elapsed_s, _late(elapsed_s), max(0.0, question.ends_s - elapsed_s))


def _late(elapsed_s: float) -> float:
    return max(_LATE_S, _LATE_SHARE * elapsed_s)
