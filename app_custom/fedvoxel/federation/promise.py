"""What a job's meta.json promises about privacy, held against what the job's configuration gives."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError
from fedvoxel.federation.claim import Claim
from fedvoxel.privacy.guarantee import PrivacyUnit


class Promise(FrozenModel):
    """Is the section `promises` of a job's meta.json.

    Attributes:
        unit: Who is protected.
        epsilon: No more than this, over all planned rounds.
        delta: No more than this.
    """

    unit: PrivacyUnit
    epsilon: float = Field(gt=0)
    delta: float = Field(gt=0, lt=1)


def check_promise_of(meta: Mapping[str, Any] | None, claim: Claim) -> None:
    """Checks what a job's meta.json, as the server has it, promises; see `check_promise`.

    Args:
        meta: The content of meta.json, FLARE's own keys and all; None or no promise asks for nothing.
        claim: What the job's configuration gives.

    Raises:
        ConfigError: The promise is no promise, or the job gives less.
    """
    promised = (meta or {}).get("promises")
    if promised is not None:
        check_promise(parse_config(Promise, promised, "the promises of the job's meta.json"), claim)


def check_promise(promise: Promise, claim: Claim) -> None:
    """Checks that a job gives what it promises.

    Raises:
        ConfigError: It gives less; the message says what it gives, in one line.
    """
    given = claim.guarantee
    kept = (
        given is not None
        and given.unit == promise.unit
        and given.epsilon <= promise.epsilon
        and given.delta <= promise.delta
    )
    if not kept:
        raise ConfigError(
            f"the job's meta.json promises epsilon {promise.epsilon:g} and delta {promise.delta:g} for each "
            f"{promise.unit}; what its configuration gives is: {claim.text}"
        )
