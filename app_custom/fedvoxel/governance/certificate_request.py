"""A request for a certificate (PKCS#10): the key is made where it stays, and only the request travels.

The request says who asks. Who may have a certificate, and as what, says the consortium file alone; what a request says
otherwise is refused, so that nobody becomes a lead by asking.
"""

import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.holder import Holder
from fedvoxel.plain_file import read_plain
from fedvoxel.records.atomic import write_bytes

_BITS = 2048
_LARGEST_BYTES = 16 * 1024


def make_key(path: Path) -> rsa.RSAPrivateKey:
    """Makes a private key and writes it, readable by its owner only.

    Raises:
        ConsortiumError: The file is there already: a key is never overwritten.
    """
    if path.exists():
        raise ConsortiumError(f"{path} exists, and a key is never overwritten; move it away, or name another folder")
    key = rsa.generate_private_key(public_exponent=65537, key_size=_BITS)
    write_bytes(path, key_bytes(key), mode=0o600)
    return key


def key_bytes(key: rsa.RSAPrivateKey) -> bytes:
    """Returns a private key as FLARE reads it: PEM, without a password."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def make_request(holder: Holder, key: rsa.RSAPrivateKey, path: Path) -> x509.CertificateSigningRequest:
    """Writes a request for a certificate, signed with the key that it is for."""
    request = x509.CertificateSigningRequestBuilder().subject_name(holder.subject).sign(key, hashes.SHA256())
    write_bytes(path, request.public_bytes(serialization.Encoding.PEM))
    return request


def read_request(path: Path) -> x509.CertificateSigningRequest:
    """Reads a request, and checks that who made it has the key.

    Raises:
        ConsortiumError: It is no request, not signed with its own key, or for a key that FLARE has no use for.
    """
    try:
        request = x509.load_pem_x509_csr(read_plain(path, _LARGEST_BYTES))
        signed = request.is_signature_valid
    except (OSError, ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise ConsortiumError(
            f"{path.name} is no request for a certificate; one is made by: fedvoxel site request"
        ) from None
    if not signed:
        raise ConsortiumError(f"{path.name} is not signed with the key that it asks a certificate for")
    _key_in(request)
    return request


def requested_by(
    request: x509.CertificateSigningRequest, holders: tuple[Holder, ...]
) -> tuple[Holder, rsa.RSAPublicKey]:
    """Returns for whom of the consortium file a request is, and the key.

    Raises:
        ConsortiumError: The file does not have that name, or not with that organisation and role.
    """
    try:
        name, organisation, role = (_first(request, oid) for oid in _SUBJECT)
    except ValueError:
        raise ConsortiumError(
            "the request says in no way that can be read who asks; have another made by: fedvoxel site request"
        ) from None
    holder = next((one for one in holders if one.name == name and one.kind != "listener"), None)
    if holder is None:
        raise ConsortiumError(f"the consortium file has nobody of the name {name[:80]!r}; who is it that asks?")
    if (holder.organisation, holder.role or "") != (organisation, role):
        expected, came = _described(holder.organisation, holder.role or ""), _described(organisation, role)
        raise ConsortiumError(f"{name} asks as {came}, and is {expected} in the consortium file; ask them why")
    return holder, _key_in(request)


def fingerprint(key: rsa.RSAPublicKey) -> str:
    """Returns the fingerprint of a key, to be compared by telephone: SHA-256 of its public part (DER)."""
    content = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _pairs(hashlib.sha256(content).hexdigest())


def certificate_fingerprint(certificate: x509.Certificate) -> str:
    """Returns the SHA-256 fingerprint of a certificate, as OpenSSL shows it."""
    return _pairs(certificate.fingerprint(hashes.SHA256()).hex())


_SUBJECT = (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME, NameOID.UNSTRUCTURED_NAME)


def _key_in(request: x509.CertificateSigningRequest) -> rsa.RSAPublicKey:
    key = request.public_key()
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < _BITS:
        raise ConsortiumError(f"the request is for another key than FLARE needs: RSA with at least {_BITS} bits")
    return key


def _first(request: x509.CertificateSigningRequest, attribute: x509.ObjectIdentifier) -> str:
    found = request.subject.get_attributes_for_oid(attribute)
    return str(found[0].value) if found else ""


def _described(organisation: str, role: str) -> str:
    return f"{role or 'no person'} of {organisation[:80] or 'no organisation'}"


def _pairs(digits: str) -> str:
    return "SHA256:" + ":".join(digits[index : index + 2].upper() for index in range(0, len(digits), 2))
