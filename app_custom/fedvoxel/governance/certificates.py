"""Whether a kit's certificate, key and root belong together and are still valid; offline, from files alone."""

import logging
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.fetched_list import copy_of
from fedvoxel.governance.finding import Finding, error, ok, warning
from fedvoxel.governance.kit import Kit
from fedvoxel.plain_file import read_plain
from fedvoxel.records.identity import leads_to, load_roots
from fedvoxel.records.pem import certificate_in, certificates_in
from fedvoxel.records.revocation import LIST_FILE, check_list, check_list_is_of_now, read_lists

WARN_BEFORE = timedelta(days=30)
_TOPIC = "certificate"
_NEW_KIT = "ask the consortium's operator for a new kit"
_RENEW = "ask the operator to renew it (fedvoxel consortium renew)"
_NEW_LIST = "ask the operator for the newest (fedvoxel consortium renew)"
_logger = logging.getLogger(__name__)


def check_certificates(kit: Kit, now: datetime | None = None) -> list[Finding]:
    """Checks root, certificate, key and names of a kit.

    Args:
        kit: Whose certificates.
        now: The time to judge by (aware); the present when None.
    """
    now = now or datetime.now(UTC)
    findings = _check_key_mode(kit.private_key)
    roots, certificate = _read_roots(kit.root_certificate), _read(kit.certificate)
    findings += [found for found in (roots, certificate) if isinstance(found, Finding)]
    if isinstance(roots, tuple):
        findings += [_check_time(root, "the consortium's root certificate", now) for root in roots]
    if isinstance(certificate, x509.Certificate):
        findings.append(_check_time(certificate, f"the certificate of {kit.name}", now))
        findings.append(_check_key(kit, certificate))
        findings.extend(_check_names(kit))
        if isinstance(roots, tuple):
            findings.append(_check_issuer(kit, roots))
            findings += _check_list(kit, certificate, roots, now)
    return findings


def log_alarms(kit: Kit) -> None:
    """Writes into the log what of a running kit's certificates is wrong or ends soon."""
    for finding in check_certificates(kit):
        if finding.level != "ok":
            _logger.warning("event=certificate_alarm level=%s %s", finding.level, finding.message)


def _check_list(
    kit: Kit, certificate: x509.Certificate, roots: tuple[x509.Certificate, ...], now: datetime
) -> list[Finding]:
    """Checks the revocation list of a kit that has one; a server lets nobody in without."""
    path = kit.startup / LIST_FILE
    if not path.is_file():
        needed = f"startup/{LIST_FILE} is missing: the server lets nobody in without the revocation list; {_NEW_LIST}"
        gone = f"startup/{LIST_FILE} is gone: no job is taken until the server has handed it out again, or {_NEW_LIST}"
        if kit.kind == "server":
            return [error(_TOPIC, needed)]
        return [warning(_TOPIC, gone)] if copy_of(kit).exists() else []
    try:
        lists = read_lists(path)
        known = {root.subject: root for root in roots}
        # During a change of roots a list of the other root may be in the file as well, which not everybody trusts yet.
        lists = tuple(one for one in lists if one.issuer in known) or lists
        for one in lists:
            check_list(one, known.get(one.issuer, roots[0]))
            check_list_is_of_now(one, now)
    except ConsortiumError as problem:
        return [(error if kit.kind == "server" else warning)(_TOPIC, str(problem))]
    if any(one.get_revoked_certificate_by_serial_number(certificate.serial_number) for one in lists):
        return [error(_TOPIC, f"the certificate of {kit.name} is revoked; {_NEW_KIT}")]
    ends = min(one.next_update_utc or now for one in lists)
    if ends - now < WARN_BEFORE:
        return [warning(_TOPIC, f"the revocation list ends on {ends:%Y-%m-%d}; {_NEW_LIST}")]
    return [ok(_TOPIC, f"the revocation list holds until {ends:%Y-%m-%d}, and this certificate is not on it")]


def _read_roots(path: Path) -> tuple[x509.Certificate, ...] | Finding:
    first = _read(path)
    return first if isinstance(first, Finding) else load_roots(path)


def _read(path: Path) -> x509.Certificate | Finding:
    try:
        return certificate_in(read_plain(path))
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
        return warning(_TOPIC, f"{what} expires in {days} days, on {ends:%Y-%m-%d}; {_RENEW}")
    return ok(_TOPIC, f"{what} is valid until {ends:%Y-%m-%d}")


def _check_issuer(kit: Kit, roots: tuple[x509.Certificate, ...]) -> Finding:
    chain = certificates_in(kit.certificate.read_bytes())
    if any(leads_to(chain, root) for root in roots):
        return ok(_TOPIC, "issued by the consortium's root")
    return error(
        _TOPIC, f"startup/rootCA.pem did not issue this kit's certificate: it is another consortium's; {_NEW_KIT}"
    )


def _check_key(kit: Kit, certificate: x509.Certificate) -> Finding:
    name = f"startup/{kit.private_key.name}"
    try:
        key = serialization.load_pem_private_key(read_plain(kit.private_key), password=None)
    except FileNotFoundError:
        return error(_TOPIC, f"{name} is missing; put the private key there, or {_NEW_KIT}")
    except (OSError, ValueError, TypeError):
        return error(_TOPIC, f"{name} is not a PEM private key without password; {_NEW_KIT}")
    try:
        belongs = _public_bytes(key.public_key()) == _public_bytes(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return error(_TOPIC, f"startup/{kit.certificate.name} has a key of a kind that is not known; {_NEW_KIT}")
    if not belongs:
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
