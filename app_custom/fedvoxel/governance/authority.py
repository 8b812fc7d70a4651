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
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance import certificate_form as form
from fedvoxel.governance.certificate_register import Issued, Reason, Register
from fedvoxel.governance.holder import Holder
from fedvoxel.records.atomic import write_bytes
from fedvoxel.records.revocation import LIST_FILE

ROOT_FILE, KEY_FILE = "rootCA.pem", "rootCA.key"
PASSPHRASE_VARIABLE = "FEDVOXEL_CA_PASSPHRASE"  # noqa: S105 - where it is, not what it is
"""The environment variable that may hold the passphrase of the authority's key."""

FEWEST_PASSPHRASE_CHARACTERS = 12
_ROOT_BITS = 3072


@dataclass(frozen=True)
class Authority:
    """Is an open authority: who holds it can issue and revoke.

    Attributes:
        folder: Where its root certificate, its register and its list are.
        certificate: The root certificate.
        key: The root's key.
    """

    folder: Path
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

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
        """
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

        Args:
            issued: The certificates, of the register.
            reason: Why.
            days: How long the new list holds.
            since: Since when their signatures count for nothing, where that is earlier than now (aware).
        """
        self.register.note_revoked(issued, reason, since)
        self.sign_list(days)

    def sign_list(self, days: int) -> x509.CertificateRevocationList:
        """Signs the list of all revoked certificates, expired ones too: what they have signed is still looked at.

        Args:
            days: How long it holds.
        """
        now = datetime.now(UTC)
        number, ends = self.register.lists() + 1, now + timedelta(days=days)
        self.register.note_list(number, ends)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.certificate.subject)
        builder = builder.last_update(now - form.BACKDATED).next_update(ends)
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = builder.add_extension(authority, critical=False)
        for one in self.register.issued():
            if one.revoked:
                entry = form.list_entry(one.certificate.serial_number, one.revoked)
                builder = builder.add_revoked_certificate(entry)
        signed = builder.sign(self.key, hashes.SHA256())
        write_bytes(self.list_file, signed.public_bytes(serialization.Encoding.PEM))
        return signed


def create_authority(
    folder: Path, key_folder: Path, name: str, days: tuple[int, int], passphrase: str | None
) -> Authority:
    """Makes an authority.

    Args:
        folder: Where its root certificate, register and list go; must not hold one already.
        key_folder: Where its encrypted key goes: the same folder, or a medium that is taken away.
        name: The consortium's name.
        days: How long the root and its first list are valid.
        passphrase: Encrypts the key. Where None, the key is not kept at all: nobody can be added or revoked later.

    Raises:
        ConsortiumError: There is one already, or the passphrase is too short.
    """
    if (folder / ROOT_FILE).exists() or (key_folder / KEY_FILE).exists():
        raise ConsortiumError(f"{folder} holds a certificate authority already; another one needs another folder")
    if passphrase is not None:
        _check_passphrase(passphrase)
    key = rsa.generate_private_key(public_exponent=65537, key_size=_ROOT_BITS)
    now, subject = datetime.now(UTC), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = form.builder(subject, subject, key.public_key(), key, now, now + timedelta(days=days[0]))
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(form.key_usage(authority=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    made = adopt_authority(folder, key_folder, certificate, key, passphrase)
    made.sign_list(days[1])
    return made


def adopt_authority(
    folder: Path, key_folder: Path, certificate: x509.Certificate, key: rsa.RSAPrivateKey, passphrase: str | None
) -> Authority:
    """Writes down a root, its key under a passphrase; see `create_authority`."""
    if passphrase is not None:
        encryption = serialization.BestAvailableEncryption(passphrase.encode("utf-8"))
        content = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        key_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_bytes(key_folder / KEY_FILE, content, mode=0o600)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_bytes(folder / ROOT_FILE, certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(folder, certificate, key)


def open_authority(folder: Path, key_folder: Path, passphrase: str | None) -> Authority:
    """Opens an authority.

    Raises:
        ConsortiumError: There is none, its key is elsewhere or was not kept, or the passphrase is not its.
    """
    certificate = read_root(folder)
    path = key_folder / KEY_FILE
    if not path.is_file():
        raise ConsortiumError(
            f"the authority's key is not in {key_folder}: bring the medium that holds it and name its folder with "
            "--ca; an authority that was made without a passphrase kept none, and can only be made anew"
        )
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), (passphrase or "").encode("utf-8") or None)
    except (OSError, ValueError, TypeError):
        raise ConsortiumError("the passphrase does not open the authority's key") from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.public_key() != certificate.public_key():
        raise ConsortiumError(f"the key in {key_folder} is another authority's than the root in {folder}")
    return Authority(folder, certificate, key)


def read_root(folder: Path) -> x509.Certificate:
    """Reads the root certificate of the authority in `folder`.

    Raises:
        ConsortiumError: There is none.
    """
    try:
        return x509.load_pem_x509_certificate((folder / ROOT_FILE).read_bytes())
    except (OSError, ValueError):
        raise ConsortiumError(
            f"{folder} holds no certificate authority; make one with: fedvoxel consortium init"
        ) from None


def _check_passphrase(passphrase: str) -> None:
    if len(passphrase) < FEWEST_PASSPHRASE_CHARACTERS:
        raise ConsortiumError(
            f"the authority's passphrase has {len(passphrase)} characters; expected at least "
            f"{FEWEST_PASSPHRASE_CHARACTERS}, since whoever copies the encrypted key may try as often as they like"
        )
