"""From one root to the next without a day on which hospitals cannot reach each other.

For a while both roots are trusted. The old one vouches for the new one with a certificate (a cross certificate) that
stands behind every certificate which the new one issues; so those who trust only the old root, FLARE's own checks among
them (they look at the first root in the file), accept the new certificates too, and everybody moves on their own day.
When nobody has a certificate of the old root any more, it is dropped, and its last list and its certificate are kept
for those who look at signatures that were made under it.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance import certificate_form as form
from fedvoxel.governance.authority import Authority, Root
from fedvoxel.governance.authority_store import make_root, save_authority, save_keys, save_roots
from fedvoxel.governance.kit import Kit
from fedvoxel.records.atomic import write_bytes, write_public
from fedvoxel.records.identity import (
    CROSS_FILE,
    UNREADABLE,
    is_authority,
    is_issued_by,
    leads_to,
    load_root,
    load_roots,
)
from fedvoxel.records.pem import certificates_in
from fedvoxel.records.revocation import serial_text

FORMER = "former"
"""The folder of the authority with roots that were dropped, and their last lists."""


def begin_rotation(
    authority: Authority, key_folder: Path, passphrase: str, root_days: int, list_days: int
) -> Authority:
    """Makes a new root beside the old one, from now on the one that issues.

    Said again, it makes none but signs the lists again: it may have been interrupted before they were signed.

    Raises:
        ConsortiumError: Another rotation is under way already.
    """
    if len(authority.roots) > 1 and _is_vouched_for(authority):
        authority.sign_list(list_days)
        return authority
    if len(authority.roots) > 1:
        raise ConsortiumError("the authority has two roots already; finish that change first: rotate-ca --finish")
    (old,) = authority.roots
    new = make_root(_next_name(old.certificate), root_days)
    both = Authority(authority.folder, (old, new))
    write_public(authority.folder / CROSS_FILE, _pem(_vouch(old, new)))
    save_authority(both, key_folder, passphrase)
    both.sign_list(list_days)
    return both


def finish_rotation(authority: Authority, key_folder: Path, passphrase: str, list_days: int) -> Authority:
    """Drops the old root and its key; what was interrupted, wherever that was, is said again.

    Raises:
        ConsortiumError: No rotation is under way, or somebody has no certificate of the new root yet.
    """
    if len(authority.roots) == 2:
        authority = _without_old(authority)
    elif not _is_vouched_for(authority):
        raise ConsortiumError("the authority has one root only; begin the change with: rotate-ca")
    save_roots(authority)
    authority.sign_list(list_days)
    save_keys(authority, key_folder, passphrase)
    return authority


def _without_old(authority: Authority) -> Authority:
    """Returns the authority with its new root alone, once the old one and its last list are put aside."""
    old, new = authority.roots
    late = late_holders(authority)
    if late:
        raise ConsortiumError(
            f"{', '.join(late)} would be cut off: their newest certificate is of the old root; renew or revoke them"
        )
    last = authority.former_list(old)
    stem = authority.folder / FORMER / serial_text(old.certificate.serial_number)
    write_bytes(stem.with_suffix(".pem"), _pem(old.certificate))
    write_bytes(stem.with_suffix(".crl.pem"), last.public_bytes(serialization.Encoding.PEM))
    return Authority(authority.folder, (new,))


def _is_vouched_for(authority: Authority) -> bool:
    """Says whether the root that issues came of a rotation: the one that is under way, or the last one."""
    cross = authority.folder / CROSS_FILE
    return cross.is_file() and load_root(cross).subject == authority.certificate.subject


def late_holders(authority: Authority) -> list[str]:
    """Returns whose newest good certificate is not of the root that issues."""
    newest = {
        (one.holder.name, one.holder.kind): one for one in authority.register.issued() if one.is_good(datetime.now(UTC))
    }
    issuer = authority.certificate.subject
    return sorted({one.holder.name for one in newest.values() if one.certificate.issuer != issuer})


def take_up_roots(kit: Kit, roots: bytes, cross: bytes) -> bool:
    """Puts new roots into a kit, and says whether they were new there.

    Args:
        kit: The kit; it may be running.
        roots: The roots that are to be trusted (PEM).
        cross: Certificates with which old roots vouch for new ones (PEM); may be empty.

    Raises:
        ConsortiumError: A root is neither trusted here nor vouched for, or none of them issued this kit's certificate.
    """
    if roots == kit.root_certificate.read_bytes():
        return False
    known = load_roots(kit.root_certificate)
    try:
        new = certificates_in(roots)
        vouched = certificates_in(cross) if cross else []
        own = certificates_in(kit.certificate.read_bytes())
    except (OSError, ValueError):
        raise ConsortiumError("expected the consortium's roots (PEM), got something else") from None
    check_vouched(new, vouched, known)
    if not any(leads_to(own, root) for root in new):
        raise ConsortiumError("the new roots have not issued this kit's certificate; renew that one first")
    write_public(kit.root_certificate, roots)
    return True


def check_vouched(
    roots: Sequence[x509.Certificate], crosses: Sequence[x509.Certificate], known: tuple[x509.Certificate, ...]
) -> None:
    """Checks that each of some roots is known, or that one that is known vouches for it.

    Args:
        roots: The roots.
        crosses: Certificates with which old roots vouch for new ones.
        known: The roots that are known.

    Raises:
        ConsortiumError: One is neither.
    """
    for root in roots:
        if root not in known and not any(_vouches(one, root, known) for one in crosses):
            raise ConsortiumError("a root that no root of this kit vouches for; ask the operator by telephone")


def _vouches(cross: x509.Certificate, root: x509.Certificate, known: tuple[x509.Certificate, ...]) -> bool:
    # Without the look at what it is, a hospital's own certificate would vouch for a root of that hospital's making.
    try:
        same = is_authority(cross) and (cross.subject, cross.public_key()) == (root.subject, root.public_key())
    except UNREADABLE:
        return False
    return same and is_issued_by(root, root) and any(is_issued_by(cross, one) for one in known)


def _vouch(old: Root, new: Root) -> x509.Certificate:
    """Returns the new root's name and key, certified by the old root for as long as that lasts."""
    subject, key, ends = new.certificate.subject, new.key.public_key(), old.certificate.not_valid_after_utc
    builder = form.builder(subject, old.certificate.subject, key, old.key, datetime.now(UTC), ends)
    return form.as_authority(builder).sign(old.key, hashes.SHA256())


def _next_name(old: x509.Certificate) -> str:
    """Returns "small 2" after "small", "small 3" after that: two roots of one name cannot be told apart."""
    name = str(old.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    numbered = re.fullmatch(r"(.*) (\d+)", name)
    return f"{numbered[1]} {int(numbered[2]) + 1}" if numbered else f"{name} 2"


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
