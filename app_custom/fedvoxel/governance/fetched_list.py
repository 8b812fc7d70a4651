"""A revocation list that a site was handed: taken up if the root has signed it and it is newer than the one there."""

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.kit import Kit
from fedvoxel.records.atomic import write_public
from fedvoxel.records.identity import load_roots
from fedvoxel.records.revocation import LIST_FILE, check_list, check_list_is_of_now, lists_in, number_of, read_lists

_Roots = dict[x509.Name, x509.Certificate]


def take_up_list(kit: Kit, content: bytes) -> bool:
    """Puts a list into a kit, and says whether it was new there.

    Raises:
        ConsortiumError: It is damaged, not signed by the kit's root, out of date, or older than the one there.
    """
    place = kit.startup / LIST_FILE
    if place.is_file() and place.read_bytes() == content:
        return False
    roots = {root.subject: root for root in load_roots(kit.root_certificate)}
    had = _numbers(place, roots)
    # While the consortium changes its root, a list of the new one comes along, which this kit may not trust yet.
    lists = [one for one in lists_in(content) if one.issuer in roots]
    if not lists:
        raise ConsortiumError("the revocation list is of another consortium's root")
    for one in lists:
        check_list(one, roots[one.issuer])
        check_list_is_of_now(one, datetime.now(UTC))
        if number_of(one) < had.get(one.issuer, 0):
            raise ConsortiumError("the revocation list is older than the one that is there")
    write_public(place, content)
    return True


def _numbers(place: Path, roots: _Roots) -> dict[x509.Name, int]:
    """Returns the number of each good list in a file; one that is damaged or missing is older than any."""
    try:
        own = [one for one in read_lists(place) if one.issuer in roots]
        for one in own:
            check_list(one, roots[one.issuer])
    except ConsortiumError:
        return {}
    return {one.issuer: number_of(one) for one in own}
