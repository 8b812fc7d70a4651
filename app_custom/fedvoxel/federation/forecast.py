"""How long a job takes on a line: what it sends, over what the line carries, and the sites' own work beside it.

The server lets a few sites load at once, and fetches a few updates at once, for the sake of its memory; the others
wait. Lines carry both directions at the same time.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from fedvoxel.federation.line import FETCHING_AT_ONCE, LOADING_AT_ONCE, RESENT_AFTER_S, Line
from fedvoxel.federation.site_work import SiteWork
from fedvoxel.federation.traffic import Step

FETCHING_BYTES = 40 * 2**20
"""How many bytes of updates the server fetches at once, about; one always may be. See `flare.fetching`."""


@dataclass(frozen=True)
class Phase:
    """Is one step of a job with its time.

    Attributes:
        seconds: Of all its times together, the sites' training included where it is known.
    """

    step: Step
    seconds: float


@dataclass(frozen=True)
class Forecast:
    """Is how long a job takes.

    Attributes:
        phases: Its steps, in order.
        other_s: Seconds of the sites' work that belong to no round: their start, and scoring.
    """

    phases: tuple[Phase, ...]
    other_s: float = 0.0

    @property
    def seconds(self) -> float:
        """Is the time from the first question to the outcome."""
        return self.other_s + sum(phase.seconds for phase in self.phases)

    @property
    def round_s(self) -> float:
        """Is the time of the longest question of a round; without secure aggregation a round has one."""
        return max((phase.seconds / phase.step.times for phase in self.phases if phase.step.of_round), default=0.0)

    @property
    def rounds_s(self) -> float:
        """Is the time of all rounds."""
        return sum(phase.seconds for phase in self.phases if phase.step.of_round)

    @property
    def round_bytes(self) -> int:
        """Is what passes the line of a site in each round but the first, both ways."""
        steps = [phase.step for phase in self.phases]
        trained = next((step.site_bytes for step in reversed(steps) if step.trains), 0)
        return trained + sum(step.site_bytes for step in steps if step.around)

    @property
    def site_bytes(self) -> int:
        """Is what passes the line of a site that is always asked, both ways; only one sends the first model."""
        return sum(phase.step.times * phase.step.site_bytes for phase in self.phases)


def forecast(steps: Sequence[Step], line: Line, work: SiteWork) -> Forecast:
    """Returns how long a job's steps take."""
    phases = []
    for step in steps:
        work_s = (work.train_s or 0.0) if step.trains else 0.0
        phases.append(Phase(step, step.times * step_seconds(step, line, work_s)))
    return Forecast(tuple(phases), work.other_s)


def step_seconds(step: Step, line: Line, work_s: float) -> float:
    """Returns how long one question takes until the last of its sites has answered.

    Sites load the model in turns, work, and have their answer fetched in turns; what has no arrays waits for no turn.
    """
    loading, fetching = _at_once(step)
    down_s = line.seconds(step.down, "down", loading)
    up_s = line.seconds(step.up, "up", fetching)
    free = [0.0] * fetching
    for site in range(step.sites):
        loaded_s = (site // loading + 1) * down_s
        heapq.heapreplace(free, max(free[0], loaded_s + work_s) + up_s)
    return line.task_s + max(free)


def _at_once(step: Step) -> tuple[int, int]:
    """Returns how many sites load, and how many answers are fetched, at once."""
    loading = LOADING_AT_ONCE if step.down.requests else step.sites
    fetching = fetched_at_once(step.down.size_bytes - step.down.said_bytes) if step.up.requests else step.sites
    return min(step.sites, loading), min(step.sites, fetching)


def fetched_at_once(sent_bytes: int) -> int:
    """Returns how many answers the server fetches at once to a message of `sent_bytes` bytes of arrays."""
    return max(1, min(FETCHING_AT_ONCE, FETCHING_BYTES // max(1, sent_bytes)))


def slowest_request_s(step: Step, line: Line) -> float:
    """Returns how long the largest answer to one request for arrays is on its way."""
    loading, fetching = _at_once(step)
    down_s = step.down.largest_bytes / line.bytes_s("down", loading)
    return max(down_s, step.up.largest_bytes / line.bytes_s("up", fetching))


def troubles(planned: Forecast, line: Line, round_timeout_s: float) -> tuple[str, ...]:
    """Returns what would go wrong, in words.

    Args:
        planned: The job's forecast.
        line: The one that it was made for.
        round_timeout_s: What the job gives a round.
    """
    found = []
    slowest_s = max(slowest_request_s(phase.step, line) for phase in planned.phases)
    if slowest_s > RESENT_AFTER_S:
        found.append(
            f"one message takes {slowest_s:.0f} s on this line, and FLARE sends again what has not arrived "
            f"in {RESENT_AFTER_S:.0f} s: everything would travel twice or more, or never arrive; use a codec both "
            "ways, or fewer sites at once"
        )
    if planned.round_s > round_timeout_s:
        found.append(
            f"a round takes {planned.round_s:.0f} s and the job gives it {round_timeout_s:.0f} s: raise "
            "rounds.round_timeout_s, or sites will be missing"
        )
    return tuple(found)
