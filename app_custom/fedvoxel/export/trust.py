"""Whose signatures count: people and sites of the consortium whose root certificate the reader already has.

A certificate is judged as of the time of signing: a short-lived one that has expired since does not spoil what it
signed, a revocation at or before that time does. The signer states that time, so a thief of a key can state an earlier
one; the revocation list's invalidity date is there to put the end of trust where it belongs. Without a list nothing is
known of revocations. A list that cannot be relied on (another root's, out of date, partial) is refused, never ignored.

FLARE writes a person's role into the certificate and nothing for a site, a relay or a server. Who has no role is a
site here if the name is one that FLARE gives to sites (no dot) and the certificate holds no further host name. A relay
is not told apart from a site, nor is a server whose only host name is a single word.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from fedvoxel.errors import ConsortiumError, PackageError
from fedvoxel.records.identity import (
    UNREADABLE,
    is_authority,
    is_issued_by,
    leads_to,
    load_root,
    name_of,
    organisation_of,
    role_of,
)
from fedvoxel.records.revocation import (
    CLOCK_SKEW,
    LIST_FILE,
    check_list,
    check_list_is_of_now,
    read_lists,
    revoked_from,
    said,
)

Role = Literal["project_admin", "org_admin", "lead", "member"]
"""FLARE's roles of people."""

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
        newer: Lists of newer roots that this one vouches for, checked when a certificate of one is looked at.

    Raises:
        ConsortiumError: The root is no certificate authority, or the list is not this root's whole list.
    """

    root: x509.Certificate
    crl: x509.CertificateRevocationList | None = None
    newer: tuple[x509.CertificateRevocationList, ...] = ()

    def __post_init__(self) -> None:
        if not is_authority(self.root):
            raise ConsortiumError(
                "expected the consortium's root (a kit's startup/rootCA.pem), got another certificate"
            )
        if self.crl is not None:
            check_list(self.crl, self.root)

    def signer(
        self, certificate: x509.Certificate, at: datetime, now: datetime, behind: Sequence[x509.Certificate] = ()
    ) -> Signer:
        """Returns who a certificate makes of its holder, as of the time of signing.

        Args:
            certificate: The one that came with the signature.
            at: When it was signed, as the signer says (aware).
            now: The present (aware).
            behind: What came behind it: a certificate by which this root vouches for a newer one.

        Raises:
            PackageError: It is of another consortium, was not valid then, was revoked by then, or is neither a person's
                nor a site's; or the time lies in the future.
            ConsortiumError: The revocation list is out of date.
        """
        if at > now + CLOCK_SKEW:
            raise PackageError(f"signed at {said(at)}, which is in the future; is this machine's clock right?")
        if not leads_to((certificate, *behind), self.root):
            raise PackageError("signed with a certificate of another consortium: its root is not the one given here")
        found = holder_of(certificate)
        for what, one in (("certificate of " + found.name, certificate), ("root certificate", self.root)):
            if not one.not_valid_before_utc <= at <= one.not_valid_after_utc:
                begins, ends = said(one.not_valid_before_utc), said(one.not_valid_after_utc)
                raise PackageError(f"signed at {said(at)}, when the {what} was not valid ({begins} to {ends})")
        if self.crl is not None:
            self._check_not_revoked(found, at, now, self._list_for(certificate, behind))
        return found

    def _list_for(
        self, certificate: x509.Certificate, behind: Sequence[x509.Certificate]
    ) -> x509.CertificateRevocationList:
        """Returns the list of the root that issued a certificate."""
        if self.crl is not None and is_issued_by(certificate, self.root):
            return self.crl
        found = next((one for one in self.newer if one.issuer == certificate.issuer), None)
        if found is None:
            raise ConsortiumError(
                "the revocation list says nothing of the consortium's newer root; ask the operator for the newest"
            )
        check_list(found, behind[0])
        return found

    @staticmethod
    def _check_not_revoked(signer: Signer, at: datetime, now: datetime, crl: x509.CertificateRevocationList) -> None:
        check_list_is_of_now(crl, now)
        entry = crl.get_revoked_certificate_by_serial_number(signer.serial_number)
        if entry is not None and revoked_from(entry) <= at:
            raise PackageError(
                f"signed at {said(at)}, when the certificate of {signer.name} was already revoked "
                f"({said(revoked_from(entry))})"
            )


def read_trust(root: Path, crl: Path | None = None) -> Trust:
    """Reads what to go by.

    Args:
        root: The root certificate (PEM), or a kit, whose `startup/rootCA.pem` it is then.
        crl: The root's revocation list (PEM or DER); the `crl.pem` beside the root where None, if there is one.

    Raises:
        ConsortiumError: A file is missing or no such thing.
    """
    file = root / "startup" / "rootCA.pem" if root.is_dir() else root
    certificate, own = load_root(file), file.with_name(LIST_FILE)
    if crl is None and own.is_file():
        crl = own
    if crl is None:
        return Trust(certificate)
    lists = read_lists(crl)
    mine = next((one for one in lists if one.issuer == certificate.subject), lists[0])
    return Trust(certificate, mine, tuple(one for one in lists if one is not mine))


def holder_of(certificate: x509.Certificate) -> Signer:
    """Returns the person or the site that a certificate names, whoever has issued it.

    Raises:
        PackageError: It is neither's, or a part of it cannot be read.
    """
    try:
        return _holder(certificate)
    except UNREADABLE:
        raise PackageError("signed with a certificate of which a part cannot be read; have it renewed") from None


def _holder(certificate: x509.Certificate) -> Signer:
    name, role = name_of(certificate), role_of(certificate)
    key = certificate.public_key()
    if not name or not name.isprintable():
        raise PackageError("signed with a certificate that names nobody; a person or a site of the consortium signs")
    if is_authority(certificate):
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
