"""What a privacy ledger records, one model for each kind of entry.

An event is recorded by the parameters of its noise, never as an epsilon alone, so that a better accountant can be asked
later. `spent_epsilon` and `spent_delta` say what the ledger added up to after the entry, as it was computed then: for
people who read the file, and for how much a lost entry stood at least.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.errors import LedgerError, VersionError
from fedvoxel.formats import PRIVACY_LEDGER, current
from fedvoxel.privacy.events import MAX_COUNT, GaussianEvent
from fedvoxel.privacy.guarantee import PrivacyUnit
from fedvoxel.records.chain_entry import Body
from fedvoxel.records.names import CohortName, ReleaseId, RunKey, Sha256

MAX_DRAWS = 10_000
"""Most releases that one run may plan."""

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Delta = Annotated[float, Field(gt=0, lt=1)]


class RunPlan(FrozenModel):
    """Is what a run declares before its first release and then keeps to.

    Attributes:
        unit: Who the run's mechanism protects.
        event: What one release does: the noise and sampling of its steps.
        draws: How often noise is drawn in all: the run's rounds, and its `spare_draws` for those that a crash may cost.
        delta: The run's share of the cohort's delta.
    """

    unit: PrivacyUnit
    event: GaussianEvent
    draws: int = Field(ge=1, le=MAX_DRAWS)
    delta: Delta

    @model_validator(mode="after")
    def _steps_can_be_counted(self) -> Self:
        steps = self.draws * self.event.count
        if steps > MAX_COUNT:
            raise ValueError(f"expected at most {MAX_COUNT} steps over all draws, got {steps}")
        return self


class _Recorded(FrozenModel):
    spent_epsilon: float = Field(ge=0)
    spent_delta: float = Field(ge=0)


class Opened(_Recorded):
    """Says whose ledger this is and which budget the site's policy grants; repeated when the policy changes it."""

    kind: Literal["opened"] = "opened"
    cohort: CohortName
    unit: PrivacyUnit
    epsilon: float = Field(gt=0)
    delta: Delta


class Reserved(_Recorded):
    """Says that noise may be drawn once for one round; written before the round is trained.

    Attributes:
        planned: How many draws the run declared.
        draws: How many of them the budget granted, at the run's first draw.
    """

    kind: Literal["reserved"] = "reserved"
    release_id: ReleaseId
    run_key: RunKey
    job_id: Words
    round: int = Field(ge=0)
    event: GaussianEvent
    planned: int = Field(ge=1, le=MAX_DRAWS)
    draws: int = Field(ge=1, le=MAX_DRAWS)
    job_delta: Delta


class Kept(_Recorded):
    """Says that a reserved release was drawn, and which bytes it is; written after the bytes are on disk."""

    kind: Literal["kept"] = "kept"
    release_id: ReleaseId
    sha256: Sha256
    file: str


class Sent(_Recorded):
    """Says that a kept release's bytes leave the site; written before each time that they do."""

    kind: Literal["sent"] = "sent"
    release_id: ReleaseId


class Gap(_Recorded):
    """Says that entries were lost, and what a person answers for having been spent by them."""

    kind: Literal["gap"] = "gap"
    epsilon: float = Field(ge=0)
    delta: float = Field(ge=0, lt=1)
    operator: Words
    reason: Words


LedgerEntry = Annotated[Opened | Reserved | Kept | Sent | Gap, Field(discriminator="kind")]

_ADAPTER: TypeAdapter[LedgerEntry] = TypeAdapter(LedgerEntry)


def ledger_entry(body: Body, number: int) -> LedgerEntry:
    """Returns the entry that a chain's `body` holds.

    Args:
        body: A line's body.
        number: The line's number, from 1, for the error.

    Raises:
        LedgerError: It is none of the kinds, or a key is wrong: a newer version wrote it, or somebody else.
    """
    try:
        return _ADAPTER.validate_python(current(PRIVACY_LEDGER, body, f"line {number} of the ledger"))
    except VersionError as error:
        raise LedgerError(str(error)) from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise LedgerError(
            f"line {number} of the ledger is no entry of this version ({key}: {first['msg']}); "
            "update fedvoxel, or put a copy of the file back"
        ) from None
