"""Who signs: a site or a person of the consortium, with the certificate and the key of its own startup kit.

What a certificate is good for, its reader decides: see `updates.secure.identity` and `export.trust`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from fedvoxel.errors import ConsortiumError
from fedvoxel.plain_file import read_plain
from fedvoxel.records.pem import certificate_in, certificates_in

_HASH = hashes.SHA256()
_PSS = padding.PSS(padding.MGF1(_HASH), padding.PSS.DIGEST_LENGTH)


Algorithm = Literal["rsa-pss-sha256", "ecdsa-sha256"]
"""How something is signed; the certificate's key decides."""


CROSS_FILE = "crossCA.pem"
"""The name of the file with certificates by which an old root vouches for a new one."""


UNREADABLE = (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)
"""What looking into a certificate or list may end with that was opened: parts are read when they are asked for."""


@dataclass(frozen=True)
class Identity:
    """Is what a site or a person signs with.

    Attributes:
        name: The certificate's common name.
        certificate: PEM text.
        key: The private key that belongs to it.
        root: The consortium's root certificate, as the signer's own kit has it.
    """

    name: str
    certificate: str
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    root: x509.Certificate

    @property
    def algorithm(self) -> Algorithm:
        """Is how this one signs."""
        return "rsa-pss-sha256" if isinstance(self.key, rsa.RSAPrivateKey) else "ecdsa-sha256"

    def sign(self, content: bytes) -> str:
        """Returns a signature of some bytes, hexadecimal."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(content, _PSS, _HASH).hex()
        return self.key.sign(content, ec.ECDSA(_HASH)).hex()


def load_identity(startup: Path) -> Identity:
    """Reads an identity from the `startup/` folder of a site's or a person's kit.

    Raises:
        ConsortiumError: A file is missing or no such thing.
    """
    try:
        written = read_plain(startup / "client.crt").decode("ascii")
        root = certificate_in(read_plain(startup / "rootCA.pem"))
        key = serialization.load_pem_private_key(read_plain(startup / "client.key"), password=None)
        name = name_of(certificate_in(written.encode()))
    except (OSError, ValueError, TypeError):
        raise ConsortiumError(
            "signing needs the client.crt, client.key and rootCA.pem of a site's or a person's kit, and one of them "
            "cannot be read; `fedvoxel site check` says which"
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
        return certificate_in(read_plain(path))
    except (OSError, ValueError):
        raise ConsortiumError(f"expected the consortium's root certificate in {path.name}, got none") from None


def load_roots(path: Path) -> tuple[x509.Certificate, ...]:
    """Reads all roots that a kit trusts: one, or two while the consortium changes from one root to the next.

    Raises:
        ConsortiumError: The file is missing or holds none.
    """
    try:
        return tuple(certificates_in(read_plain(path)))
    except (OSError, ValueError):
        raise ConsortiumError(f"expected the consortium's root certificate in {path.name}, got none") from None


def name_of(certificate: x509.Certificate) -> str:
    """Returns a certificate's common name; empty where it has none."""
    return _first(certificate, NameOID.COMMON_NAME)


def organisation_of(certificate: x509.Certificate) -> str:
    """Returns a certificate's organisation; empty where it has none."""
    return _first(certificate, NameOID.ORGANIZATION_NAME)


def role_of(certificate: x509.Certificate) -> str:
    """Returns a person's role; empty for a site, a relay or a server, for which FLARE writes none."""
    return _first(certificate, NameOID.UNSTRUCTURED_NAME)


def is_issued_by(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    """Says whether the root itself has signed a certificate."""
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def leads_to(chain: Sequence[x509.Certificate], root: x509.Certificate) -> bool:
    """Says whether a certificate is of a root: issued by it, or by a newer root that it vouches for.

    Args:
        chain: The certificate, and what came behind it.
        root: The root that is trusted.
    """
    if not chain:
        return False
    if is_issued_by(chain[0], root):
        return True
    return any(is_issued_by(chain[0], one) and is_issued_by(one, root) and is_authority(one) for one in chain[1:2])


def is_authority(certificate: x509.Certificate) -> bool:
    """Says whether a certificate's holder may issue others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, *UNREADABLE):
        return False


def algorithm_of(certificate: x509.Certificate) -> Algorithm | None:
    """Returns how a certificate's key signs; None where FedVoxel has no use for such a key."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    if isinstance(key, rsa.RSAPublicKey):
        return "rsa-pss-sha256"
    return "ecdsa-sha256" if isinstance(key, ec.EllipticCurvePublicKey) else None


def has_signed(certificate: x509.Certificate, content: bytes, signature: str) -> bool:
    """Says whether the key of a certificate has made a signature (hexadecimal) of some bytes."""
    try:
        key = certificate.public_key()
        signed = bytes.fromhex(signature)
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signed, content, _PSS, _HASH)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signed, content, ec.ECDSA(_HASH))
        else:
            return False
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _first(certificate: x509.Certificate, attribute: x509.ObjectIdentifier) -> str:
    found = certificate.subject.get_attributes_for_oid(attribute)
    return str(found[0].value) if found else ""
