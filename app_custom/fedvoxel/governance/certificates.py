"""Whether a kit's certificate, key and root belong together and are still valid; offline, from files alone."""

import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from fedvoxel.governance.finding import Finding, error, ok, warning
from fedvoxel.governance.kit import Kit
from fedvoxel.plain_file import read_plain

WARN_BEFORE = timedelta(days=30)
_TOPIC = "certificate"
_NEW_KIT = "ask the consortium's operator for a new kit"


def check_certificates(kit: Kit, now: datetime | None = None) -> list[Finding]:
    """Checks root, certificate, key and names of a kit.

    Args:
        kit: Whose certificates.
        now: The time to judge by (aware); the present when None.
    """
    now = now or datetime.now(UTC)
    findings = _check_key_mode(kit.private_key)
    root, certificate = _read(kit.root_certificate), _read(kit.certificate)
    for found in (root, certificate):
        if isinstance(found, Finding):
            findings.append(found)
    if isinstance(root, x509.Certificate):
        findings.append(_check_time(root, "the consortium's root certificate", now))
    if isinstance(certificate, x509.Certificate):
        findings.append(_check_time(certificate, f"the certificate of {kit.name}", now))
        findings.append(_check_key(kit, certificate))
        findings.extend(_check_names(kit))
        if isinstance(root, x509.Certificate):
            findings.append(_check_issuer(certificate, root))
    return findings


def _read(path: Path) -> x509.Certificate | Finding:
    try:
        return x509.load_pem_x509_certificate(read_plain(path))
    except FileNotFoundError:
        return error(_TOPIC, f"startup/{path.name} is missing; put it there, or {_NEW_KIT}")
    except (OSError, ValueError):
        return error(_TOPIC, f"startup/{path.name} is not a PEM certificate; {_NEW_KIT}")


def _check_time(certificate: x509.Certificate, what: str, now: datetime) -> Finding:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > ends:
        return error(_TOPIC, f"{what} expired on {ends:%Y-%m-%d}; {_NEW_KIT}")
    if now < begins:
        return error(_TOPIC, f"{what} is valid only from {begins:%Y-%m-%d %H:%M} UTC; is this machine's clock right?")
    if ends - now < WARN_BEFORE:
        days = (ends - now).days
        return warning(_TOPIC, f"{what} expires in {days} days, on {ends:%Y-%m-%d}; {_NEW_KIT}")
    return ok(_TOPIC, f"{what} is valid until {ends:%Y-%m-%d}")


def _check_issuer(certificate: x509.Certificate, root: x509.Certificate) -> Finding:
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return error(
            _TOPIC, f"startup/rootCA.pem did not issue this kit's certificate: it is another consortium's; {_NEW_KIT}"
        )
    return ok(_TOPIC, "issued by the consortium's root")


def _check_key(kit: Kit, certificate: x509.Certificate) -> Finding:
    name = f"startup/{kit.private_key.name}"
    try:
        key = serialization.load_pem_private_key(read_plain(kit.private_key), password=None)
    except FileNotFoundError:
        return error(_TOPIC, f"{name} is missing; put the private key there, or {_NEW_KIT}")
    except (OSError, ValueError, TypeError):
        return error(_TOPIC, f"{name} is not a PEM private key without password; {_NEW_KIT}")
    if _public_bytes(key.public_key()) != _public_bytes(certificate.public_key()):
        return error(_TOPIC, f"{name} does not belong to startup/{kit.certificate.name}; {_NEW_KIT}")
    return ok(_TOPIC, "the private key belongs to the certificate")


def _public_bytes(key: object) -> bytes:
    encode = key.public_bytes  # type: ignore[attr-defined]
    return bytes(encode(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def _check_key_mode(path: Path) -> list[Finding]:
    if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077:
        return [error(_TOPIC, f"startup/{path.name} can be read by others; run: chmod 600 startup/{path.name}")]
    return []


def _check_names(kit: Kit) -> list[Finding]:
    """Checks that the start script claims the name that the certificate proves; the server refuses any other."""
    script = kit.startup / "sub_start.sh"
    if kit.kind != "site" or not script.is_file():
        return []
    claimed = re.search(r"\buid=(\S+)", script.read_text(encoding="utf-8", errors="replace"))
    if claimed and claimed.group(1) != kit.name:
        message = f"the certificate is {kit.name}'s, but startup/sub_start.sh starts {claimed.group(1)}; {_NEW_KIT}"
        return [error(_TOPIC, message)]
    return []
