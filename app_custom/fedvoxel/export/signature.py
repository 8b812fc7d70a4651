"""A signature that stands beside what it signs, with the signer's certificate and the time of signing."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self

from cryptography import x509
from pydantic import Field, StringConstraints, model_validator

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.trust import Signer, Trust, holder_of
from fedvoxel.records.identity import Algorithm, Identity, algorithm_of, has_signed
from fedvoxel.records.pem import certificates_in

SCHEMA_VERSION = 1
LARGEST_BYTES = 64 * 1024
"""Most bytes of a signature's file."""

Moment = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")]
"""A second in UTC, in one spelling."""


class Signature(FrozenModel):
    """Is a signature over `signed_bytes`.

    Attributes:
        algorithm: As the certificate's key has it.
        certificate: The signer's, PEM.
        signed_at: When, as the signer says.
        signature: Hexadecimal.
    """

    schema_version: Literal[1] = 1
    algorithm: Algorithm
    certificate: Annotated[str, Field(max_length=20_000)]
    signed_at: Moment
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{2,4096}$")]

    @model_validator(mode="after")
    def _is_a_time(self) -> Self:
        _ = self.at
        return self

    @property
    def at(self) -> datetime:
        """Is the time of signing."""
        return datetime.fromisoformat(self.signed_at)


def moment(now: datetime) -> str:
    """Returns a time as `Moment` has it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def sign(identity: Identity, purpose: str, content: bytes, now: datetime) -> Signature:
    """Signs some bytes.

    Args:
        identity: Who signs.
        purpose: What the signature is for; one that was made for something else does not count.
        content: What is signed.
        now: The present (aware).
    """
    at = moment(now)
    signature = identity.sign(signed_bytes(purpose, at, content))
    return Signature(algorithm=identity.algorithm, certificate=identity.certificate, signed_at=at, signature=signature)


def read_signature(content: bytes, what: str) -> Signature:
    """Reads a signature's JSON.

    Raises:
        PackageError: It is none, or of a newer version.
    """
    values = read_versioned(content, SCHEMA_VERSION, what)
    try:
        return parse_config(Signature, values, what)
    except ConfigError as error:
        raise PackageError(str(error)) from None


def verify(signature: Signature, purpose: str, content: bytes, trust: Trust, now: datetime) -> Signer:
    """Returns who has signed some bytes, if that one could and did.

    Raises:
        PackageError: The signature is not of these bytes and this purpose, or its certificate does not count.
        ConsortiumError: The revocation list is out of date.
    """
    certificate, *behind = _certificates(signature)
    signer = trust.signer(certificate, signature.at, now, behind)
    _check_signed(signature, certificate, signer, signed_bytes(purpose, signature.signed_at, content))
    return signer


def named_signer(signature: Signature, purpose: str, content: bytes) -> Signer:
    """Returns whom the certificate in a signature names, whose key has signed some bytes; whoever has issued it.

    Raises:
        PackageError: The signature is not of these bytes and this purpose.
    """
    certificate = _certificates(signature)[0]
    signer = holder_of(certificate)
    _check_signed(signature, certificate, signer, signed_bytes(purpose, signature.signed_at, content))
    return signer


def _certificates(signature: Signature) -> list[x509.Certificate]:
    try:
        return certificates_in(signature.certificate.encode())
    except ValueError:
        raise PackageError("the signature comes with no certificate that can be read") from None


def _check_signed(signature: Signature, certificate: x509.Certificate, signer: Signer, content: bytes) -> None:
    if signature.algorithm != algorithm_of(certificate):
        raise PackageError(f"the signature says {signature.algorithm}, and {signer.name}'s key is not for that")
    if not has_signed(certificate, content, signature.signature):
        raise PackageError(f"the signature is not {signer.name}'s of this content: it was changed, or another signed")


def signed_bytes(purpose: str, signed_at: str, content: bytes) -> bytes:
    """Returns what is signed: the purpose, the time, and the content."""
    return f"fedvoxel {purpose}\n{signed_at}\n".encode() + content


def read_versioned(content: bytes, newest: int, what: str) -> dict[str, Any]:
    """Returns the JSON object of some bytes whose schema this version knows.

    Raises:
        PackageError: It is no JSON object, or of a newer version.
    """
    values = read_object(content, what)
    version = values.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise PackageError(f"{what} does not say of which version it is")
    if version > newest:
        raise PackageError(f"{what} is of version {version}, and this fedvoxel reads up to {newest}; update fedvoxel")
    return values


def read_object(content: bytes, what: str) -> dict[str, Any]:
    """Returns the JSON object of some bytes.

    Raises:
        PackageError: They are none.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise PackageError(f"{what} is no JSON object")
    return values
