"""Whose signatures count: people and sites of the consortium whose root certificate the reader already has.

A certificate is judged as of the time of signing: a short-lived one that has expired since does not spoil what it
signed, a revocation at or before that time does. The signer states that time, so a thief of a key can state an earlier
one; the revocation list's invalidity date is there to put the end of trust where it belongs. Without a list nothing is
known of revocations. A list that cannot be relied on (another root's, out of date, partial) is refused, never ignored.

FLARE writes a person's role into the certificate and nothing for a site, a relay or a server. Who has no role is a
site here if the name is one that FLARE gives to sites (no dot) and the certificate holds no further host name. A relay
is not told apart from a site, nor is a server whose only host name is a single word.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from fedvoxel.errors import ConsortiumError, PackageError
from fedvoxel.plain_file import read_plain
from fedvoxel.records.identity import is_issued_by, load_root, name_of, organisation_of, role_of

Role = Literal["project_admin", "org_admin", "lead", "member"]
"""FLARE's roles of people."""

CLOCK_SKEW = timedelta(minutes=5)
"""How far a signing time may lie in the future."""

_FEWEST_RSA_BITS = 2048


@dataclass(frozen=True)
class Signer:
    """Is who signed, as the certificate says.

    Attributes:
        name: Its common name.
        organisation: Its organisation; empty where it names none.
        role: The person's FLARE role; None for a site.
        serial_number: Its serial number, by which a revocation list names it.
    """

    name: str
    organisation: str
    role: Role | None
    serial_number: int

    def __str__(self) -> str:
        return f"{self.name} ({self.role or 'site'})"


@dataclass(frozen=True)
class Trust:
    """Is what a reader goes by.

    Attributes:
        root: The consortium's root certificate, from the reader's own kit.
        crl: The root's revocation list; None where the reader has none.

    Raises:
        ConsortiumError: The root is no certificate authority, or the list is not this root's whole list.
    """

    root: x509.Certificate
    crl: x509.CertificateRevocationList | None = None

    def __post_init__(self) -> None:
        if not _is_authority(self.root):
            raise ConsortiumError(
                "expected the consortium's root (a kit's startup/rootCA.pem), got another certificate"
            )
        if self.crl is not None:
            _check_list_is_of(self.crl, self.root)

    def signer(self, certificate: x509.Certificate, at: datetime, now: datetime) -> Signer:
        """Returns who a certificate makes of its holder, as of the time of signing.

        Args:
            certificate: The one that came with the signature.
            at: When it was signed, as the signer says (aware).
            now: The present (aware).

        Raises:
            PackageError: It is of another consortium, was not valid then, was revoked by then, or is neither a person's
                nor a site's; or the time lies in the future.
            ConsortiumError: The revocation list is out of date.
        """
        if at > now + CLOCK_SKEW:
            raise PackageError(f"signed at {_said(at)}, which is in the future; is this machine's clock right?")
        if not is_issued_by(certificate, self.root):
            raise PackageError("signed with a certificate of another consortium: its root is not the one given here")
        found = _holder(certificate)
        for what, one in (("certificate of " + found.name, certificate), ("root certificate", self.root)):
            if not one.not_valid_before_utc <= at <= one.not_valid_after_utc:
                begins, ends = _said(one.not_valid_before_utc), _said(one.not_valid_after_utc)
                raise PackageError(f"signed at {_said(at)}, when the {what} was not valid ({begins} to {ends})")
        self._check_not_revoked(found, at, now)
        return found

    def _check_not_revoked(self, signer: Signer, at: datetime, now: datetime) -> None:
        if self.crl is None:
            return
        _check_list_is_of_now(self.crl, now)
        entry = self.crl.get_revoked_certificate_by_serial_number(signer.serial_number)
        if entry is not None and _revoked_from(entry) <= at:
            raise PackageError(
                f"signed at {_said(at)}, when the certificate of {signer.name} was already revoked "
                f"({_said(_revoked_from(entry))})"
            )


def read_trust(root: Path, crl: Path | None = None) -> Trust:
    """Reads what to go by.

    Args:
        root: The root certificate (PEM), or a kit, whose `startup/rootCA.pem` it is then.
        crl: The root's revocation list (PEM or DER).

    Raises:
        ConsortiumError: A file is missing or no such thing.
    """
    certificate = load_root(root / "startup" / "rootCA.pem" if root.is_dir() else root)
    if crl is None:
        return Trust(certificate)
    try:
        content = read_plain(crl)
        read = x509.load_pem_x509_crl if content.startswith(b"-----BEGIN") else x509.load_der_x509_crl
        revoked = read(content)
    except (OSError, ValueError):
        raise ConsortiumError(f"expected the root's revocation list in {crl.name}, got none") from None
    return Trust(certificate, revoked)


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _check_list_is_of(crl: x509.CertificateRevocationList, root: x509.Certificate) -> None:
    try:
        signed = crl.issuer == root.subject and crl.is_signature_valid(root.public_key())  # type: ignore[arg-type]
    except (TypeError, ValueError):
        signed = False
    if not signed:
        raise ConsortiumError("the revocation list was not signed by this root; ask the operator for the right one")
    # A list of changes, or of some certificates only, says so in an extension that must be understood.
    if any(extension.critical for extension in crl.extensions):
        raise ConsortiumError("the revocation list is not the root's whole list; ask the operator for that one")


def _check_list_is_of_now(crl: x509.CertificateRevocationList, now: datetime) -> None:
    begins, ends = crl.last_update_utc, crl.next_update_utc
    if ends is None or not begins - CLOCK_SKEW <= now <= ends:
        until = "nobody knows when" if ends is None else _said(ends)
        raise ConsortiumError(
            f"the revocation list holds from {_said(begins)} until {until}, not now; ask the operator for the newest"
        )


def _holder(certificate: x509.Certificate) -> Signer:
    """Returns a person or a site."""
    name, role = name_of(certificate), role_of(certificate)
    key = certificate.public_key()
    if not name or not name.isprintable():
        raise PackageError("signed with a certificate that names nobody; a person or a site of the consortium signs")
    if _is_authority(certificate):
        raise PackageError(f"signed with {name}'s own root; a person or a site of the consortium signs")
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _FEWEST_RSA_BITS:
        raise PackageError(f"signed by {name} with an RSA key of {key.key_size} bits; at least {_FEWEST_RSA_BITS} are")
    if not role and ("." in name or _host_names(certificate) - {name}):
        raise PackageError(f"signed with the certificate of a server ({name}); a person or a site signs")
    for known in get_args(Role):
        if role == known:
            return Signer(name, organisation_of(certificate), known, certificate.serial_number)
    if role:
        raise PackageError(f"signed by {name}, whose certificate has a role that is not known: {role[:40]!r}")
    return Signer(name, organisation_of(certificate), None, certificate.serial_number)


def _host_names(certificate: x509.Certificate) -> set[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in found}


def _revoked_from(entry: x509.RevokedCertificate) -> datetime:
    """Returns since when a certificate counts for nothing: its invalidity date (RFC 5280 5.3.2), if that is earlier."""
    try:
        invalid = entry.extensions.get_extension_for_class(x509.InvalidityDate).value.invalidity_date_utc
    except x509.ExtensionNotFound:
        return entry.revocation_date_utc
    return min(invalid, entry.revocation_date_utc)


def _said(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
