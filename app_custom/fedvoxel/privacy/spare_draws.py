"""Draws of noise that a run plans beyond its rounds, for those that a crash may cost.

A draw is charged before it is made. Where the process dies before the noised bytes are kept, the draw is lost, and the
round is drawn anew: one draw more than the run has rounds. What was lost may have been seen by nobody, but the ledger
cannot know: it knows that the draw may have been made, and not whether somebody looked at it, or let the process die
because of what was drawn. So it counts, like any other.

Nor can it be charged when it happens. A run's draws are composed tightly because their number is fixed before the
first one; were a draw added whenever something has died, whoever can kill a process would choose the number by what was
released so far. So a job says in advance how many draws its run may lose, and rounds and spare draws are what is
charged, used or not, what a budget has to cover, and what the claim states: one epsilon, which holds in every case.
"""

from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError

MOST_SPARE_DRAWS = 1000
"""Most spare draws of one run."""


class SpareDraws(FrozenModel):
    """Is what the privacy sections of both units have in common: how many draws their runs may lose.

    Attributes:
        spare_draws: Draws beyond the run's rounds, charged whether they are used or not. As many may be lost at each
            hospital before it declines a round.
    """

    spare_draws: int = Field(default=0, ge=0, le=MOST_SPARE_DRAWS)

    def draws(self, rounds: int) -> int:
        """Returns how often a run of so many rounds may draw noise at one hospital, and is charged for.

        Raises:
            ConfigError: It has no round, so that nothing could be lost.
        """
        if rounds < 1:
            raise ConfigError(f"expected a run of at least one round, got {rounds}")
        return rounds + self.spare_draws

    @model_serializer(mode="wrap")
    def _none_as_before(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out that there are none: hashes of a job's words stay those of releases that knew no spare draws."""
        values: dict[str, Any] = written(self)
        if not self.spare_draws:
            values.pop("spare_draws", None)
        return values


def rounds_and_spare(rounds: int, spare: int) -> str:
    """Returns a run's draws in words, such as "20 rounds and 1 spare draw"."""
    return f"{rounds} rounds" + (f" and {_said(spare)}" if spare else "")


def spare_granted(granted: int, planned: int) -> str:
    """Returns how many of the planned spare draws there are, to go after a number of rounds; nothing where none are."""
    return f" and {granted} of {_said(planned)}" if planned else ""


def _said(spare: int) -> str:
    return f"{spare} spare draw" + ("" if spare == 1 else "s")
