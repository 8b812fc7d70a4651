"""A consortium's certificate authority: a root whose key is encrypted, or lies on a medium that is elsewhere.

FLARE's own keeps the root's key and everybody's private key in one unencrypted file; here the only key that is kept is
the root's, under a passphrase, and participants' keys are made by themselves. Certificates are short-lived; which ones
count no longer is said by a revocation list that the root signs.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance import certificate_form as form
from fedvoxel.governance.certificate_register import Issued, Reason, Register
from fedvoxel.governance.holder import Holder
from fedvoxel.records.atomic import write_public
from fedvoxel.records.identity import CROSS_FILE
from fedvoxel.records.pem import certificate_in
from fedvoxel.records.revocation import LIST_FILE


@dataclass(frozen=True)
class Root:
    """Is a root certificate with its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey


@dataclass(frozen=True)
class Authority:
    """Is an open authority: who holds it can issue and revoke.

    Attributes:
        folder: Where its root certificate, its register and its list are.
        roots: The root; two, the old one and the new one, while it changes from one to the other.
    """

    folder: Path
    roots: tuple[Root, ...]

    @property
    def certificate(self) -> x509.Certificate:
        """Is the certificate of the root that issues."""
        return self.roots[-1].certificate

    @property
    def key(self) -> rsa.RSAPrivateKey:
        """Is the key of the root that issues."""
        return self.roots[-1].key

    @property
    def register(self) -> Register:
        """Is what it has done."""
        return Register(self.folder)

    @property
    def list_file(self) -> Path:
        """Is where its newest revocation list is."""
        return self.folder / LIST_FILE

    def issue(self, holder: Holder, public_key: CertificateIssuerPublicKeyTypes, days: int) -> x509.Certificate:
        """Issues a certificate and writes it down.

        Args:
            holder: Whom it is for.
            public_key: The holder's key.
            days: How long it is valid, but never longer than the root.

        Raises:
            ConsortiumError: Others may have that key.
        """
        if self.register.is_compromised(public_key):
            raise ConsortiumError(
                f"the key of {holder.name} was revoked, since others may have it; "
                "a new request makes a new one: fedvoxel site request"
            )
        now = datetime.now(UTC)
        ends = min(now + timedelta(days=days), self.certificate.not_valid_after_utc)
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH] + [ExtendedKeyUsageOID.SERVER_AUTH] * holder.listens
        builder = form.builder(holder.subject, self.certificate.subject, public_key, self.key, now, ends)
        certificate = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(form.key_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(holder.alternative_names, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        self.register.note_issued(Issued(certificate, holder))
        return certificate

    def revoke(self, issued: tuple[Issued, ...], reason: Reason, days: int, since: datetime | None = None) -> None:
        """Revokes certificates for good, and signs a new list that says so.

        Said again, it signs the list again: one that was not signed in the end names them now. What is revoked already
        counts for nothing since earlier, if that is said, and stays revoked for the reason that it was.

        Args:
            issued: The certificates, of the register.
            reason: Why.
            days: How long the new list holds.
            since: Since when their signatures count for nothing, where that is earlier than now (aware).
        """
        meant = self.meant(issued, reason)
        stolen = reason == "key-compromise"  # worse than what they may have been revoked for, and perhaps since earlier
        self.register.note_revoked(tuple(one for one in meant if stolen or not one.revoked), reason, since)
        for one in meant:
            if not stolen and since and one.revoked and since < (one.revoked.since or one.revoked.at):
                self.register.note_revoked((one,), one.revoked.reason, since)
        self.sign_list(days)

    def meant(self, issued: tuple[Issued, ...], reason: Reason) -> tuple[Issued, ...]:
        """Returns what has to be revoked with some certificates: if the key is known, all that it ever had."""
        return self.register.of_same_keys(issued) if reason == "key-compromise" else issued

    def sign_list(self, days: int) -> x509.CertificateRevocationList:
        """Signs the list of all revoked certificates, expired ones too: what they have signed is still looked at.

        While there are two roots there are two lists, one of each root's certificates; the issuing root's is returned.

        Args:
            days: How long it holds.
        """
        now = datetime.now(UTC)
        number, ends = self.register.lists() + 1, now + timedelta(days=days)
        self.register.note_list(number, ends)
        lists = [self._list_of(root, number, now, ends) for root in self.roots]
        write_public(self.list_file, b"".join(one.public_bytes(serialization.Encoding.PEM) for one in lists))
        return lists[-1]

    def former_list(self, root: Root) -> x509.CertificateRevocationList:
        """Signs the last list of a root that is dropped; it holds until the root's own end."""
        now, number = datetime.now(UTC), self.register.lists() + 1
        self.register.note_list(number, root.certificate.not_valid_after_utc)
        return self._list_of(root, number, now, root.certificate.not_valid_after_utc)

    def _list_of(self, root: Root, number: int, now: datetime, ends: datetime) -> x509.CertificateRevocationList:
        issuer = root.certificate.subject
        builder = x509.CertificateRevocationListBuilder().issuer_name(issuer)
        builder = builder.last_update(now - form.BACKDATED).next_update(ends)
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key())
        builder = builder.add_extension(authority, critical=False)
        for one in self.register.issued():
            if one.revoked and one.certificate.issuer == issuer:
                entry = form.list_entry(one.certificate.serial_number, one.revoked)
                builder = builder.add_revoked_certificate(entry)
        return builder.sign(root.key, hashes.SHA256())


def written(folder: Path, certificate: x509.Certificate) -> bytes:
    """Returns a certificate as it is handed out (PEM): with the one behind it by which an old root vouches.

    Args:
        folder: The authority's.
        certificate: One that it issued.
    """
    content, cross = certificate.public_bytes(serialization.Encoding.PEM), folder / CROSS_FILE
    if not cross.is_file():
        return content
    vouched = certificate_in(cross.read_bytes())
    return content + cross.read_bytes() if vouched.subject == certificate.issuer else content
