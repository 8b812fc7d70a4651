"""The attempts at one run: FLARE jobs that carry on, each where the one before it was interrupted."""

from collections.abc import Sequence
from typing import Literal

from pydantic import AwareDatetime, NonNegativeInt

from fedvoxel.config import FrozenModel

RunStatus = Literal["finished", "stopped_early", "failed", "aborted", "unfinished"]
"""How a run ended; "unfinished" says that it has not: it runs, or was interrupted and is to go on."""

ENDED_WELL: tuple[RunStatus, ...] = ("finished", "stopped_early")

MOST_WITHOUT_PROGRESS = 3
"""Attempts in a row that commit no round, after which a run is not begun again by itself."""


class Attempt(FrozenModel):
    """Is one FLARE job of a run.

    Attributes:
        job_id: FLARE's id of the job.
        started: When it began.
        first_round: The round that it began with: as many were committed before it.
    """

    job_id: str
    started: AwareDatetime
    first_round: NonNegativeInt


class Attempted(FrozenModel):
    """Is what a run's record says of its attempts.

    Attributes:
        attempts: The FLARE jobs of the run, in order; each goes on after the last round that was committed before it.
        repeated_rounds: Rounds with which later attempts began: they were under way when the one before was
            interrupted, unless that ended by itself, for a site that was back.
    """

    attempts: tuple[Attempt, ...] = ()
    repeated_rounds: tuple[NonNegativeInt, ...] = ()


def repeated_rounds(attempts: Sequence[Attempt], planned: int) -> tuple[int, ...]:
    """Returns the rounds that were under way when an attempt was interrupted, and were begun anew by a later one."""
    return tuple(sorted({attempt.first_round for attempt in attempts[1:] if attempt.first_round < planned}))


def attempt_at(attempts: Sequence[Attempt], index: int) -> int:
    """Returns the number, from 1, of the last attempt among all those that stood in a round.

    One that is interrupted stands in the round that the next one begins with, so that each later round starts at 1.
    """
    return 1 + sum(attempt.first_round == index for attempt in attempts[1:])


def is_stuck(attempts: Sequence[Attempt], committed: int) -> bool:
    """Says whether the last attempts have all begun, and been interrupted, at the round that still is the next."""
    last = attempts[-MOST_WITHOUT_PROGRESS:]
    return len(last) == MOST_WITHOUT_PROGRESS and {attempt.first_round for attempt in last} == {committed}
