"""Bytes of the arrays that a run has sent, and of what secure aggregation says: in its rounds, and beside them."""

from typing import TYPE_CHECKING

from pydantic import NonNegativeInt

from fedvoxel.config import FrozenModel

if TYPE_CHECKING:
    from fedvoxel.federation.outcome import RunOutcome


class BesideRounds(FrozenModel):
    """Counts what travelled outside the rounds; all are 0 in outcomes of before this was counted.

    Attributes:
        first_model_up: Bytes of the first model, from the hospital that was asked to make it.
        validation_down: Bytes that all hospitals were sent for the validation of the last model.
        test_down: Bytes that all were sent for the test.
    """

    first_model_up: NonNegativeInt = 0
    validation_down: NonNegativeInt = 0
    test_down: NonNegativeInt = 0


def all_bytes_up(outcome: "RunOutcome") -> int:
    """Returns the bytes that the hospitals of a run have sent."""
    rounds = sum(record.bytes_up + record.secure_bytes_up for record in outcome.rounds)
    return outcome.beside_rounds.first_model_up + rounds


def all_bytes_down(outcome: "RunOutcome") -> int:
    """Returns the bytes that the hospitals of a run were sent, for training and for every score."""
    rounds = sum(record.bytes_down + record.secure_bytes_down for record in outcome.rounds)
    rounds += sum(record.contribution_bytes_down for record in outcome.rounds)
    return rounds + outcome.beside_rounds.validation_down + outcome.beside_rounds.test_down
