"""A revocation list that a site was handed: taken up if the root has signed it and it is newer than the one there.

A copy in the site's state says what it has had: a list that is gone from the kit, or an older one in its place, is
refused, since without one nobody is known to be revoked.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.kit import Kit
from fedvoxel.records.atomic import write_bytes, write_public
from fedvoxel.records.identity import load_roots
from fedvoxel.records.revocation import (
    LIST_FILE,
    check_list,
    check_list_is_of_now,
    kept_lists,
    lists_in,
    number_of,
    read_lists,
)

_Roots = dict[x509.Name, x509.Certificate]
_Lists = dict[x509.Name, x509.CertificateRevocationList]


def take_up_list(kit: Kit, content: bytes) -> bool:
    """Puts lists into a kit, and says whether one was new there.

    A list of a root that the kit does not trust is left out. While the consortium changes its root it comes again, and
    is taken up once the kit trusts that root. Of a root about which nothing came, the list that is there stays.

    Raises:
        ConsortiumError: One is damaged, not signed by the kit's root, out of date, or older than the one there; or none
            is of a root that the kit trusts.
    """
    places, roots = (kit.startup / LIST_FILE, copy_of(kit)), _roots(kit)
    had = _good(places, roots)
    came = [one for one in lists_in(content) if one.issuer in roots]
    if not came:
        raise ConsortiumError("the revocation list is of another consortium's root")
    newest = dict(had)
    for one in came:
        check_list(one, roots[one.issuer])
        check_list_is_of_now(one, datetime.now(UTC))
        if one.issuer in had and number_of(one) < number_of(had[one.issuer]):
            raise ConsortiumError("the revocation list is older than the one that is there")
        newest[one.issuer] = one
    kept = b"".join(newest[issuer].public_bytes(Encoding.PEM) for issuer in roots if issuer in newest)
    if all(place.is_file() and place.read_bytes() == kept for place in places):
        return False
    write_public(places[0], kept)
    write_bytes(places[1], kept, mode=0o600)
    return True


def site_lists(kit: Kit) -> tuple[x509.CertificateRevocationList, ...]:
    """Returns the lists in a site's kit; none where it never had any, as in kits of old.

    Raises:
        ConsortiumError: What is there is no list, or is older than what the site has had, or nothing is there any more.
    """
    lists, copy = kept_lists(kit.startup / LIST_FILE), copy_of(kit)
    there = {one.issuer: number_of(one) for one in reversed(lists)}  # who looks for a root's list takes the first
    had = _good((copy,), _roots(kit))
    if (copy.exists() and not lists) or any(there.get(issuer, -1) < number_of(one) for issuer, one in had.items()):
        raise ConsortiumError(
            f"startup/{LIST_FILE} is gone, or older than what this site has had; it comes from the server again within "
            "a minute; else put the operator's newest there"
        )
    return lists


def copy_of(kit: Kit) -> Path:
    """Returns where the copy of the lists is that a site has taken up last."""
    return kit.state / "certificates" / LIST_FILE


def _roots(kit: Kit) -> _Roots:
    return {root.subject: root for root in load_roots(kit.root_certificate)}


def _good(places: Iterable[Path], roots: _Roots) -> _Lists:
    """Returns the newest good list of each root in some files; what is damaged or missing is older than any.

    Each is looked at by itself: a bad one beside it must not make a good one forgotten.
    """
    found: _Lists = {}
    for one in chain.from_iterable(map(_there, places)):
        try:
            check_list(one, roots[one.issuer])
        except (ConsortiumError, KeyError):
            continue
        if one.issuer not in found or number_of(one) > number_of(found[one.issuer]):
            found[one.issuer] = one
    return found


def _there(place: Path) -> tuple[x509.CertificateRevocationList, ...]:
    try:
        return read_lists(place)
    except ConsortiumError:
        return ()
