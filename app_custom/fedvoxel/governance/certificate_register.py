"""What a consortium's authority has done: every certificate that it issued, and every one that it revoked.

An append-only chain beside the authority's root, with no secret in it: it is read without the authority's key, and
what it says is written there before a certificate or a list is handed out.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, get_args

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.holder import Holder, HolderKind, holder_in
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import Entry
from fedvoxel.records.pem import certificate_in
from fedvoxel.records.revocation import serial_text

Reason = Literal["left", "key-compromise", "superseded", "affiliation-changed", "unspecified"]
"""Why a certificate is revoked."""

State = Literal["valid", "expires soon", "replaced", "expired", "revoked"]
"""What a certificate is worth; "replaced" is a valid one whose holder has a newer one."""

EXPIRES_SOON = timedelta(days=30)
"""How long before its end a certificate is to be renewed."""

_FILE = "certificates.jsonl"


@dataclass(frozen=True)
class Revoked:
    """Says that a certificate is revoked.

    Attributes:
        at: When (aware).
        reason: Why.
        since: Since when its signatures count for nothing, where that is earlier (aware).
    """

    at: datetime
    reason: Reason
    since: datetime | None


@dataclass(frozen=True)
class Issued:
    """Is a certificate that the authority has issued.

    Attributes:
        certificate: The certificate.
        holder: Whom it is for.
        revoked: When and why it was revoked; None while it is not.
    """

    certificate: x509.Certificate
    holder: Holder
    revoked: Revoked | None = None

    @property
    def serial(self) -> str:
        """Is its serial number, hexadecimal."""
        return serial_text(self.certificate.serial_number)

    def is_good(self, now: datetime) -> bool:
        """Says whether it is neither revoked nor expired."""
        return self.revoked is None and now <= self.certificate.not_valid_after_utc


class Register:
    """Is the record on disk; every call reads it anew."""

    def __init__(self, authority: Path) -> None:
        """Touches no file; `authority` is the authority's folder."""
        self._chain = Chain(authority / "register" / _FILE)

    def issued(self) -> tuple[Issued, ...]:
        """Returns every certificate that was issued, in order, with what became of it.

        Raises:
            LedgerError: The record cannot be read or trusted.
            ConsortiumError: A line of it is no entry of this version.
        """
        entries = self._chain.read()
        revoked: dict[str, Revoked] = {}
        try:
            for entry in (one for one in entries if one.body.get("event") == "revoked"):
                serial = str(entry.body["serial"])
                revoked[serial] = _joined(revoked.get(serial), _revoked(entry))
            found = [_issued(entry.body) for entry in entries if entry.body.get("event") == "issued"]
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ConsortiumError("the register of certificates is not of this version; update fedvoxel") from None
        return tuple(Issued(one.certificate, one.holder, revoked.get(one.serial)) for one in found)

    def of(self, name: str, now: datetime) -> tuple[Issued, ...]:
        """Returns a participant's certificates that are neither revoked nor expired, the oldest first."""
        return tuple(one for one in self.issued() if one.holder.name == name and one.is_good(now))

    def find(self, name_or_serial: str, now: datetime) -> tuple[Issued, ...]:
        """Returns what is meant by a name (all its good certificates) or by a serial number (that one).

        What is revoked already is found too, by a name if it has nothing good: a revocation that was interrupted before
        its list was signed can so be said again.

        Raises:
            ConsortiumError: There is no such certificate.
        """
        wanted = name_or_serial.replace(":", "").upper().lstrip("0")
        everything = self.issued()
        found = tuple(one for one in everything if one.serial == wanted) or self.of(name_or_serial, now)
        if not found:
            found = tuple(one for one in everything if one.holder.name == name_or_serial and one.revoked)
        if not found:
            raise ConsortiumError(
                f"no valid certificate has the name or serial number {name_or_serial!r}; see: fedvoxel consortium list"
            )
        return found

    def of_same_keys(self, issued: tuple[Issued, ...]) -> tuple[Issued, ...]:
        """Returns every certificate, expired and revoked ones too, of the keys of some: who has a key has them all."""
        keys = {_content(one.certificate.public_key()) for one in issued}
        return tuple(one for one in self.issued() if _content(one.certificate.public_key()) in keys)

    def is_compromised(self, key: CertificatePublicKeyTypes) -> bool:
        """Says whether a certificate of a key was revoked because others may have it."""
        stolen = [one for one in self.issued() if one.revoked and one.revoked.reason == "key-compromise"]
        return any(_content(one.certificate.public_key()) == _content(key) for one in stolen)

    def states(self, now: datetime) -> list[tuple[Issued, State]]:
        """Returns every certificate and what it is worth at a time (aware)."""
        everything = self.issued()
        newest = {(one.holder.name, one.holder.kind): one for one in everything if one.is_good(now)}
        return [(one, _state(one, newest.get((one.holder.name, one.holder.kind)), now)) for one in everything]

    def lists(self) -> int:
        """Returns how many revocation lists were signed."""
        return sum(entry.body.get("event") == "list" for entry in self._chain.read())

    def note_issued(self, issued: Issued) -> None:
        """Writes down a certificate, before it is handed out."""
        text = issued.certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")
        self._chain.append({"event": "issued", "kind": issued.holder.kind, "certificate": text})

    def note_revoked(self, issued: tuple[Issued, ...], reason: Reason, since: datetime | None) -> None:
        """Writes down which certificates are revoked from now on."""
        said = {"event": "revoked", "reason": reason, "since": since.astimezone(UTC).isoformat() if since else None}
        bodies = [{**said, "serial": one.serial} for one in issued]
        with self._chain.writing() as chain:
            chain.append_each(bodies)

    def note_list(self, number: int, until: datetime) -> None:
        """Writes down a list, before it is signed."""
        self._chain.append({"event": "list", "number": number, "until": until.astimezone(UTC).isoformat()})


def _issued(body: dict[str, Any]) -> Issued:
    certificate = certificate_in(body["certificate"].encode("ascii"))
    kind: HolderKind = body["kind"]
    if kind not in get_args(HolderKind):
        raise ValueError(kind)
    return Issued(certificate, holder_in(certificate, kind))


def _content(key: CertificatePublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _joined(before: Revoked | None, again: Revoked) -> Revoked:
    """What is revoked once more is so for the newer reason, but since no later than before."""
    if before is None:
        return again
    return Revoked(before.at, again.reason, min(filter(None, (before.since, again.since)), default=None))


def _revoked(entry: Entry) -> Revoked:
    since = entry.body["since"]
    return Revoked(
        datetime.fromisoformat(entry.at), entry.body["reason"], datetime.fromisoformat(since) if since else None
    )


def _state(one: Issued, newest: Issued | None, now: datetime) -> State:
    if one.revoked:
        return "revoked"
    if not one.is_good(now):
        return "expired"
    if newest is not None and newest.serial != one.serial:
        return "replaced"
    return "expires soon" if one.certificate.not_valid_after_utc - now < EXPIRES_SOON else "valid"
