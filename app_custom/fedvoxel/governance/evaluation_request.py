"""A data scientist's request that a hospital judge one signed package on one of its cohorts: words, never code.

It is signed with the certificate of a person of the consortium, so that who asks is known however it came. What people
of the hospital approve is the hash of its bytes: one that was changed is another one, which nobody has approved.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from fedvoxel.config import FrozenModel, json_of, parse_config
from fedvoxel.errors import PackageError
from fedvoxel.evaluation.judgement.aggregate import AskedMetric
from fedvoxel.export.signature import Signature, sign, verify
from fedvoxel.export.trust import Signer, Trust
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.identity import Identity
from fedvoxel.records.names import PARTICIPANT, CohortName, Sha256

PURPOSE = "evaluation request"
LARGEST_REQUEST_BYTES = 64 * 1024

AskedSplit = Literal["test", "validation", "training", "all"]
Participant = Annotated[str, StringConstraints(pattern=f"^{PARTICIPANT.pattern}$")]
_Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")]
_Purpose = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")
]


class EvaluationRequest(FrozenModel):
    """Says what is asked.

    Attributes:
        id: Tells it from every other, also from one with the same words.
        site: Of which site.
        package: Identity of the package; `model` and `version` are what it is called.
        cohort: The site's.
        split: Which patients.
        metrics: What shall be told.
        purpose: What for.
    """

    schema_version: Literal[1] = 1
    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    site: Participant
    package: Sha256
    model: _Label
    version: _Label
    cohort: CohortName
    split: AskedSplit
    metrics: Annotated[tuple[AskedMetric, ...], Field(min_length=1)]
    purpose: _Purpose

    @model_validator(mode="after")
    def _names_a_metric_once(self) -> Self:
        if len(set(self.metrics)) != len(self.metrics):
            raise ValueError("a metric is named twice")
        return self

    @property
    def content(self) -> bytes:
        """Is what is signed."""
        return canonical_json(self.model_dump(mode="json"))


class SignedRequest(FrozenModel):
    """Is the content of a request's file."""

    request: EvaluationRequest
    signature: Signature


@dataclass(frozen=True)
class Asked:
    """Is a request whose signature counts.

    Attributes:
        content: SHA-256 of the file's bytes: what is approved.
        request: What is asked.
        asker: Who asks.
        at: When it was signed, as the signer says.
    """

    content: str
    request: EvaluationRequest
    asker: Signer
    at: str


def new_id() -> str:
    """Returns an id that no request has."""
    return secrets.token_hex(16)


def request_file(request: EvaluationRequest, identity: Identity, now: datetime) -> bytes:
    """Returns a request's file, signed; `now` is the present (aware)."""
    signed = SignedRequest(request=request, signature=sign(identity, PURPOSE, request.content, now))
    return (json.dumps(signed.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n").encode()


def content_of(file: bytes) -> str:
    """Returns what people approve: the SHA-256 of a request's file."""
    return hashlib.sha256(file).hexdigest()


def read_request(file: bytes, site: str, trust: Trust, now: datetime) -> Asked:
    """Reads a request's file, if a person of the consortium signed it for this site.

    Args:
        file: Its bytes.
        site: This site's name.
        trust: Whose signature counts.
        now: The present (aware).

    Raises:
        ConfigError: It is no request, or asks for what cannot be asked for.
        PackageError: It is for another site, or nobody who may ask has signed it.
        ConsortiumError: The revocation list is out of date.
    """
    signed = parse_config(SignedRequest, json_of(file, "the request"), "the request")
    signer = verify(signed.signature, PURPOSE, signed.request.content, trust, now)
    if signer.role is None:
        raise PackageError(f"the request is signed by {signer.name}, a site: a person of the consortium asks")
    if signed.request.site != site:
        raise PackageError(f"the request is for site {signed.request.site}, and this is {site}")
    return Asked(content_of(file), signed.request, signer, signed.signature.signed_at)
