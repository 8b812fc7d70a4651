"""What a person of a hospital says of a request for an evaluation, and how the request stands by what all said."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import StringConstraints

from fedvoxel.config import FrozenModel
from fedvoxel.governance.approval_record import Decision, Word
from fedvoxel.governance.evaluation_request import EvaluationRequest
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.names import Sha256

PURPOSE = "evaluation approval"


class Ruling(FrozenModel):
    """Is what a person signs; it holds the request itself, so that the record shows what was approved.

    Attributes:
        site: Where.
        content: SHA-256 of the request's file.
        word: Approved or refused.
        reason: Why; for the hospital's own eyes.
        request: What was asked.
    """

    schema_version: Literal[1] = 1
    site: str
    content: Sha256
    word: Word
    reason: Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
    request: EvaluationRequest

    @property
    def signed(self) -> bytes:
        """Is what is signed."""
        return canonical_json(self.model_dump(mode="json"))


@dataclass(frozen=True)
class Standing:
    """Is how a request stands now.

    Attributes:
        word: Whether it waits, may run, was refused, or was answered.
        said: Each person's last word.
        needed: How many approvals it needs.
    """

    word: Literal["waiting", "approved", "refused", "returned"]
    said: tuple[Decision, ...]
    needed: int
