"""A revocation list that a site was handed: taken up if the root has signed it and it is newer than the one there."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.kit import Kit
from fedvoxel.records.atomic import write_public
from fedvoxel.records.identity import load_roots
from fedvoxel.records.revocation import LIST_FILE, check_list, check_list_is_of_now, lists_in, number_of, read_lists

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
    place, roots = kit.startup / LIST_FILE, _roots(kit)
    had = _good(place, roots)
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
    if place.is_file() and place.read_bytes() == kept:
        return False
    write_public(place, kept)
    return True


def _roots(kit: Kit) -> _Roots:
    return {root.subject: root for root in load_roots(kit.root_certificate)}


def _good(place: Path, roots: _Roots) -> _Lists:
    """Returns the newest good list of each root in a file; one that is damaged or missing is older than any.

    Each is looked at by itself: a bad one beside it must not make a good one forgotten.
    """
    found: _Lists = {}
    try:
        there = read_lists(place)
    except ConsortiumError:
        return found
    for one in there:
        try:
            check_list(one, roots[one.issuer])
        except (ConsortiumError, KeyError):
            continue
        if one.issuer not in found or number_of(one) > number_of(found[one.issuer]):
            found[one.issuer] = one
    return found
