"""A certificate before its end: a new one for the same key, put into a kit that may be running.

The key stays, so nothing but one file changes, in one step; a running site shows the new certificate with its next
connection, and the server's guard shows the server's. A key that others may know is not renewed but revoked.
"""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.authority import Authority
from fedvoxel.governance.certificate_register import Issued
from fedvoxel.governance.holder import Holder
from fedvoxel.governance.kit import Kit
from fedvoxel.records.atomic import write_public
from fedvoxel.records.identity import UNREADABLE, leads_to, load_roots
from fedvoxel.records.pem import certificate_in, certificates_in
from fedvoxel.records.revocation import serial_text


def renew(authority: Authority, holder: Holder, days: int) -> Issued:
    """Issues a new certificate for the key of a holder's newest good one.

    Raises:
        ConsortiumError: There is none: who has nothing valid any more makes a new request.
    """
    now = datetime.now(UTC)
    good = [one for one in authority.register.of(holder.name, now) if one.holder.kind == holder.kind]
    if not good:
        raise ConsortiumError(
            f"{holder.name} has no valid certificate to renew; it has to make a new request: fedvoxel site request"
        )
    if good[-1].certificate.subject != holder.subject:
        raise ConsortiumError(
            f"{holder.name} has another role or organisation now: revoke, and have a new request made"
        )
    key = good[-1].certificate.public_key()
    return Issued(authority.issue(holder, key, days), holder)  # type: ignore[arg-type]


def take_up(kit: Kit, renewed: bytes, listener: bool = False) -> bool:
    """Puts a renewed certificate into a kit, and says whether it was new there.

    Args:
        kit: The kit; it may be running.
        renewed: The certificate (PEM).
        listener: Whether it is for the side of a relay that sites connect to.

    Raises:
        ConsortiumError: It is not this kit's: another name, key or consortium, or one that ends no later.
    """
    certificate, private_key = kit.certificate, kit.private_key
    if listener:
        certificate, private_key = (kit.startup / name for name in ("server.crt", "server.key"))
    try:
        chain = certificates_in(renewed)
        old = certificate_in(certificate.read_bytes())
        key = serialization.load_pem_private_key(private_key.read_bytes(), password=None).public_key()
    except (OSError, ValueError, TypeError):
        raise ConsortiumError(f"expected the renewed certificate of {kit.name} (PEM), got none") from None
    new = chain[0]
    if new == old:
        return False
    if not _is_for(new, old, key):
        raise ConsortiumError(f"the certificate {serial_text(new.serial_number)} is not for {kit.name} and its key")
    if not any(leads_to(chain, root) for root in load_roots(kit.root_certificate)):
        raise ConsortiumError("the renewed certificate is of another consortium")
    if new.not_valid_after_utc <= old.not_valid_after_utc:
        raise ConsortiumError(f"the certificate ends no later than the one that {kit.name} has")
    write_public(certificate, b"".join(one.public_bytes(serialization.Encoding.PEM) for one in chain))
    return True


def _is_for(new: x509.Certificate, old: x509.Certificate, key: object) -> bool:
    """Says whether a certificate names whom an older one names, and is for a key."""
    try:
        return new.subject == old.subject and new.public_key() == key
    except UNREADABLE:
        return False
