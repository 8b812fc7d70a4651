"""What leaves a hospital for a request: the approved aggregate with the site's signature, and nothing else."""

import json
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from fedvoxel import __version__
from fedvoxel.config import FrozenModel, json_of, parse_config
from fedvoxel.errors import CohortError, PackageError
from fedvoxel.evaluation.judgement.aggregate import Aggregate
from fedvoxel.export.signature import Signature, sign, verify
from fedvoxel.export.trust import Trust
from fedvoxel.governance.evaluation_request import Asked, EvaluationRequest
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.identity import Identity
from fedvoxel.records.names import Sha256

ANSWER_FILE = "answer.json"
LARGEST_ANSWER_BYTES = 4 * 2**20
PURPOSE = "evaluation answer"


class Answer(FrozenModel):
    """Is an answer.

    Attributes:
        content: SHA-256 of the file of the request that was approved.
        request: That request.
        aggregate: What it asked for.
        software: The version that answered.
    """

    schema_version: Literal[1] = 1
    use: Literal["For research use only."] = "For research use only."
    content: Sha256
    request: EvaluationRequest
    aggregate: Aggregate
    software: Annotated[str, Field(max_length=40)] = __version__

    @property
    def signed(self) -> bytes:
        """Is what is signed."""
        return canonical_json(self.model_dump(mode="json", exclude_none=True))


class SignedAnswer(FrozenModel):
    """Is the content of an answer's file."""

    answer: Answer
    signature: Signature


def answer_file(asked: Asked, aggregate: Aggregate, identity: Identity, now: datetime) -> bytes:
    """Returns an answer's file, signed by the site.

    Args:
        asked: The request.
        aggregate: All that may be told; what was not asked for is left out.
        identity: The site's.
        now: The present (aware).
    """
    answer = Answer(content=asked.content, request=asked.request, aggregate=aggregate.of(asked.request.metrics))
    signed = SignedAnswer(answer=answer, signature=sign(identity, PURPOSE, answer.signed, now))
    return (json.dumps(signed.model_dump(mode="json", exclude_none=True), indent=2, ensure_ascii=False) + "\n").encode()


def check_minimum(file: bytes, minimum: int) -> None:
    """Checks that an answer's file is of no fewer patients than the hospital's minimum is now.

    Raises:
        ConfigError: It is no answer.
        CohortError: It was made under a lower minimum.
    """
    told = parse_config(SignedAnswer, json_of(file, "the answer"), "the answer").answer.aggregate.minimum_patients
    if told < minimum:
        raise CohortError(f"the answer that was kept may hold numbers of {told} patients; {minimum} are the least now")


def read_answer(file: bytes, asked: Asked, trust: Trust, now: datetime) -> Answer:
    """Reads an answer's file, if the site that was asked signed it for this request.

    Args:
        file: Its bytes.
        asked: The request.
        trust: Whose signature counts.
        now: The present (aware).

    Raises:
        ConfigError: It is no answer.
        PackageError: It is to another request, or not signed by the site that was asked.
        ConsortiumError: The revocation list is out of date.
    """
    signed = parse_config(SignedAnswer, json_of(file, "the answer"), "the answer")
    signer = verify(signed.signature, PURPOSE, signed.answer.signed, trust, now)
    if signer.role is not None or signer.name != asked.request.site:
        raise PackageError(f"the answer is signed by {signer}, not by site {asked.request.site}")
    if (signed.answer.content, signed.answer.request) != (asked.content, asked.request):
        raise PackageError("the answer is to another request than the one that lies beside it")
    return signed.answer
