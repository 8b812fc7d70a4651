"""How long a site that has nothing to do rests before it asks for its next task again.

Each request costs the site's line some 3 kB in each direction, and the server some of its time. A site that rests too
long holds up the next round. What is known of when its next task will come decides: how long each of the sites that
still work took for the same question the last time.
"""

from collections.abc import Collection
from dataclasses import dataclass

_REQUESTS_PER_S = 20.0
"""Most requests that all waiting sites together make of the server in a second."""

_LATE_S = 1.0
_LATE_SHARE = 0.02
"""A question that takes longer than the last one may end at any moment: a rest then costs so many seconds at most, or
this share of the question's time."""

_FIRST_SHARE, _FIRST_SHARE_OF_LONG = 0.1, 0.05
"""The same where nothing is known, of the time so far: up to a second, and beyond."""

_LONG_REST_S, _LONGEST_REST_S = 5.0, 60.0
_LEAST_SHARE = 0.01
"""No rest is a smaller share of the time that a question is expected to take."""


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
        self._answered: set[str] = set()
        self._longest_told_s = shortest_s

    def answered(self, task_name: str, sites: Collection[str], elapsed_s: float) -> None:
        """Notes who has answered the open question; who had before is left as it was."""
        new = set(sites) - self._answered
        self._took_s.setdefault(task_name, {}).update(dict.fromkeys(new, elapsed_s))
        self._answered |= new

    def done(self) -> None:
        """Notes that the question has ended."""
        self._answered.clear()

    def rest_s(self, question: Question) -> float:
        """Returns how many seconds whoever asks now is told to rest.

        Who comes for the question is told the same, and rests so long after its answer, when the next task is near:
        while sites are still coming, the rest is the shortest one.
        """
        coming = question.coming and question.elapsed_s < self._longest_told_s + _LATE_S
        if coming or not question.idle:
            return self._shortest_s
        expected_s = self._expected_s(question)
        rest_s = self._unknown(question) if expected_s is None else self._known(question.elapsed_s, expected_s)
        told_s = max(self._shortest_s, question.idle / _REQUESTS_PER_S, rest_s)
        self._longest_told_s = max(self._longest_told_s, told_s)
        return told_s

    def _expected_s(self, question: Question) -> float | None:
        """Returns the time by which the last of those who work will have answered; None where nothing is known."""
        took = self._took_s.get(question.task_name)
        if not took or not question.working:
            return None
        slowest_s = max(took.values())
        return min(question.ends_s, max(took.get(site, slowest_s) for site in question.working))

    def _known(self, elapsed_s: float, expected_s: float) -> float:
        """Returns half of the time to the expected end, or after it, half of the time since: often near it."""
        most_s = max(_LONG_REST_S, min(_LATE_SHARE * expected_s, _LONGEST_REST_S))
        if elapsed_s > expected_s:
            most_s = max(_LATE_S, _LATE_SHARE * elapsed_s)
        return max(_LEAST_SHARE * expected_s, min(abs(expected_s - elapsed_s) / 2, most_s))

    def _unknown(self, question: Question) -> float:
        elapsed_s = question.elapsed_s
        rest_s = max(min(_LATE_S, _FIRST_SHARE * elapsed_s), _FIRST_SHARE_OF_LONG * elapsed_s)
        return min(rest_s, _LONGEST_REST_S, max(0.0, question.ends_s - elapsed_s))
