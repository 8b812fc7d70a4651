"""Who a site is to the other sites: its consortium certificate, with which it signs what the server relays.

Every site has the consortium's root in its own kit, so that the server, which carries all messages, cannot put keys of
its own in the place of a site's. Whoever holds the root's private key can; see docs/secure_aggregation.md.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from fedvoxel.errors import ConsortiumError, UpdateError

_HASH = hashes.SHA256()
_PSS = padding.PSS(padding.MGF1(_HASH), padding.PSS.DIGEST_LENGTH)


@dataclass(frozen=True)
class Identity:
    """Is what a site signs with.

    Attributes:
        name: The site's name, its certificate's common name.
        certificate: PEM text.
        key: The private key that belongs to it.
        root: The consortium's root certificate, as this site's own kit has it.
    """

    name: str
    certificate: str
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    root: x509.Certificate

    def sign(self, content: bytes) -> str:
        """Returns a signature of some bytes, hexadecimal."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(content, _PSS, _HASH).hex()
        return self.key.sign(content, ec.ECDSA(_HASH)).hex()


def load_identity(startup: Path) -> Identity:
    """Reads a site's identity from its kit's `startup/` folder.

    Raises:
        ConsortiumError: A file is missing or no such thing.
    """
    try:
        written = (startup / "client.crt").read_text(encoding="ascii")
        root = x509.load_pem_x509_certificate((startup / "rootCA.pem").read_bytes())
        key = serialization.load_pem_private_key((startup / "client.key").read_bytes(), password=None)
        name = name_of(x509.load_pem_x509_certificate(written.encode()))
    except (OSError, ValueError, TypeError):
        raise ConsortiumError(
            "secure aggregation needs the kit's client.crt, client.key and rootCA.pem, and one of them cannot be read; "
            "`fedvoxel site check` says which"
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ConsortiumError(f"expected an RSA or elliptic-curve key in the kit, got {type(key).__name__}")
    return Identity(name, written, key, root)


def load_root(path: Path) -> x509.Certificate:
    """Reads the consortium's root certificate.

    Raises:
        ConsortiumError: It is missing or no certificate.
    """
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise ConsortiumError(f"expected the consortium's root certificate in {path.name}, got none") from None


def name_of(certificate: x509.Certificate) -> str:
    """Returns a certificate's common name; empty where it has none."""
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def check_signed(name: str, written: str, root: x509.Certificate, content: bytes, signature: str) -> None:
    """Checks that `name`, a site of the root's consortium, has signed some bytes.

    Raises:
        UpdateError: The certificate is another's, a person's, out of date or of another root, or the signature is not
            of these bytes.
    """
    try:
        certificate = x509.load_pem_x509_certificate(written.encode())
        certificate.verify_directly_issued_by(root)
        _check_holder(certificate, name)
        key, signed = certificate.public_key(), bytes.fromhex(signature)
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signed, content, _PSS, _HASH)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signed, content, ec.ECDSA(_HASH))
        else:
            raise UpdateError(f"a key of {name[:80]} that is neither RSA nor of an elliptic curve")
    except (ValueError, TypeError, InvalidSignature):
        raise UpdateError(f"a message that {name[:80]} has not signed with a certificate of this consortium") from None


def _check_holder(certificate: x509.Certificate, name: str) -> None:
    if name_of(certificate) != name:
        raise UpdateError(f"a certificate that is not {name[:80]}'s")
    # FLARE writes a person's role there, and nothing for a site.
    if certificate.subject.get_attributes_for_oid(NameOID.UNSTRUCTURED_NAME):
        raise UpdateError(f"a certificate of a person, not of a site, for {name[:80]}")
    now = datetime.now(UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        raise UpdateError(f"a certificate of {name[:80]} that is not valid now")
