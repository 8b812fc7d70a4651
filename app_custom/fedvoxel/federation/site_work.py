"""The sites' own work beside what travels: said by a person, or read from an earlier run on a fast line."""

from dataclasses import dataclass
from statistics import median

from fedvoxel.errors import ConfigError
from fedvoxel.federation.outcome import RunOutcome


@dataclass(frozen=True)
class SiteWork:
    """Is how long the sites work.

    Attributes:
        train_s: Seconds that the slowest site trains, and validates, in each round; None where nobody says.
        other_s: Seconds of work outside the rounds: the start of the trainers, the last validation, the test.
    """

    train_s: float | None = None
    other_s: float = 0.0


def work_like(outcome: RunOutcome) -> SiteWork:
    """Returns the work of an earlier run; what it sent is counted as work too, so its line should have been fast.

    Raises:
        ConfigError: It committed no round.
    """
    if not outcome.rounds_committed:
        raise ConfigError("the earlier run committed no round; name one that did, or write --train-s")
    seconds = [record.seconds for record in outcome.rounds[: outcome.rounds_committed]]
    whole_s = (outcome.finished - outcome.started).total_seconds()
    return SiteWork(median(seconds), max(0.0, whole_s - sum(record.seconds for record in outcome.rounds)))
