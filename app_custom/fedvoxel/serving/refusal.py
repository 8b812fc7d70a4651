"""What a client is told when there is no result: a stable reason, what was found and what to do, and nothing else."""

import logging
from dataclasses import dataclass

from fedvoxel.errors import FedVoxelError, PredictionError

_LOG = logging.getLogger(__name__)

_OF_THE_MODEL = frozenset({"unusable_model", "not_finite", "self_test", "no_runtime"})
"""Reasons that no other image would help against."""


@dataclass(frozen=True)
class Refusal:
    """Says why a request has no result.

    Attributes:
        reason: A stable code.
        text: The code, what was expected, what came, and what to do.
        is_clients: Whether another request could have one: a 4xx error, else a 5xx.
    """

    reason: str
    text: str
    is_clients: bool


def malformed(found: str) -> PredictionError:
    """Returns the error for a request that is not in order."""
    return PredictionError("malformed_request", f"{found}; docs/serving.md says what a request holds")


def refusal_of(error: Exception) -> Refusal:
    """Returns what is said of an error; of one that nobody expected its kind alone, as its text may quote the image."""
    if isinstance(error, FedVoxelError):
        reason = str(getattr(error, "reason", type(error).__name__))
        refusal = Refusal(reason, f"{reason}: {error}", hasattr(error, "reason") and reason not in _OF_THE_MODEL)
    elif isinstance(error, MemoryError):
        text = "out_of_memory: the image does not fit into this machine's memory; crop it, or lower --memory-mb"
        refusal = Refusal("out_of_memory", text, is_clients=True)
    else:
        text = f"unexpected_error: this is a bug in fedvoxel ({type(error).__name__}); please report it"
        refusal = Refusal("unexpected_error", text, is_clients=False)
    _LOG.info("refused reason=%s", refusal.reason)
    return refusal
