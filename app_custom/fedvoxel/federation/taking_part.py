"""When a site has taken part in a run, and which models hold something of it.

Three things are told apart. A site has *trained* from the first committed round on whose model holds an update of it.
It has *touched* the run from the first round on in which anything that it said was taken: an update, or scores alone,
which choose the best model and when to stop, and steer some rules of selection and compression; or from before the
first round on, if it gave the first model: that one is drawn from the job's seed, and nobody has checked that it was.
A site that was asked and never answered, or whose answers were refused, has done neither.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from fedvoxel.federation.outcome import RunOutcome

BEFORE_ALL = -1
"""Stands where a round would, for what came before the first."""


class AnsweredRound(Protocol):
    """Is one round, as `RoundNotes` and `RoundRecord` have it."""

    @property
    def contributed(self) -> Collection[str]:
        """Are the sites whose update was taken."""

    @property
    def evaluation_only(self) -> Collection[str]:
        """Are the sites whose answer was taken and had none."""


@dataclass(frozen=True)
class Part:
    """Is one site's part in a run.

    Attributes:
        trained_from: First committed round whose model holds an update of it; None for no such round.
        touched_from: First round in which anything of it was taken, `BEFORE_ALL` where it gave the first model or that
            is not known; None for nothing.
    """

    trained_from: int | None
    touched_from: int | None


def part_of(site: str, outcome: RunOutcome) -> Part:
    """Returns a site's part in a run of its own; what the run began with is another matter, see `lineage`."""
    committed = [record for record in outcome.rounds if record.round < outcome.rounds_committed]
    trained = [record.round for record in committed if site in record.contributed]
    touched = [record.round for record in outcome.rounds if site in _answered(record)]
    if _may_have_given_first_model(site, outcome):
        touched.append(BEFORE_ALL)
    if site in outcome.test or any(site in record.validation for record in outcome.rounds):
        # Scores of a round's model come with the next round's answers, and those of the last one after all rounds.
        touched.append(outcome.rounds_committed)
    return Part(min(trained, default=None), min(touched, default=None))


def joined_in(rounds: Sequence[AnsweredRound], index: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the sites of which something was taken in a round for the first time, and those of the rounds before."""
    before = {site for one in rounds[:index] for site in _answered(one)}
    return tuple(sorted(_answered(rounds[index]) - before)), tuple(sorted(before))


def _answered(one: AnsweredRound) -> set[str]:
    return {*one.contributed, *one.evaluation_only}


def _may_have_given_first_model(site: str, outcome: RunOutcome) -> bool:
    if outcome.start_from is not None:
        return False
    # An outcome that does not say who gave it is of before that was noted.
    return site == outcome.first_model_from or (outcome.first_model_from is None and site in outcome.sites)
