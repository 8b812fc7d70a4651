"""A site whose certificate is revoked signs nothing that counts, for the server and for every site with the list."""

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from fedvoxel.errors import UpdateError
from fedvoxel.updates.secure.collector import Collector
from fedvoxel.updates.secure.config import SecureConfig
from fedvoxel.updates.secure.identity import Lists, Signers
from fedvoxel.updates.secure.member import Member
from fedvoxel.updates.secure.ring import Ring
from fedvoxel.updates.secure.terms import Terms
from tests.tls_files import Authority
from tests.updates.secure.secure_sites import SESSION, TASK, authority, identity, root, startup

REVOKED = "site-1"
NAMES = ("site-0", REVOKED, "site-2", "site-3")


def _lists(*names: str, days: int = 2) -> Lists:
    return (authority().list_of(*(startup(name) / "client.crt" for name in names), days=days),)


def _member(name: str, terms: Terms) -> Member:
    return Member(identity(name), SESSION, SecureConfig(), TASK, terms)


def _roster_of(own: Member) -> list[dict[str, Any]]:
    others = [_member(name, Terms()).announce() for name in NAMES[1:]]
    return [each.model_dump(mode="json") for each in (own.announce(), *others)]


def _collector(lists: Lists) -> Collector:
    return Collector(SESSION, Signers(root(), lists), SecureConfig(), Ring(16), 5)


def test_the_server_takes_no_keys_of_a_revoked_site() -> None:
    collector = _collector(_lists(REVOKED))
    for name in NAMES:
        announced = _member(name, Terms()).announce().model_dump(mode="json")
        if name == REVOKED:
            with pytest.raises(UpdateError, match="a certificate of site-1 that is revoked"):
                collector.add_announcement(name, announced)
        else:
            collector.add_announcement(name, announced)
    collector.roster()
    assert REVOKED not in collector.sites


def test_a_site_adds_up_with_no_revoked_site_whatever_the_server_says() -> None:
    careful = _member("site-0", Terms(lists=_lists(REVOKED)))
    with pytest.raises(UpdateError, match="a certificate of site-1 that is revoked"):
        careful.share(_roster_of(careful))
    trusting = _member("site-0", Terms(lists=_lists()))
    assert trusting.share(_roster_of(trusting))


def test_a_signature_of_who_is_in_the_sum_does_not_count_either() -> None:
    revoked = identity(REVOKED)
    signed = revoked.sign(b"content")
    Signers(root(), _lists()).check_signed(REVOKED, revoked.certificate, b"content", signed)
    with pytest.raises(UpdateError, match="revoked"):
        Signers(root(), _lists(REVOKED)).check_signed(REVOKED, revoked.certificate, b"content", signed)


def test_a_list_that_cannot_be_relied_on_lets_nobody_in() -> None:
    other = Authority(Path(mkdtemp(prefix="fedvoxel_test_")), "another consortium")
    forged = Authority(Path(mkdtemp(prefix="fedvoxel_test_")), "consortium")
    cases = {
        "not now": _lists(days=-1),
        "says nothing of the root": (other.list_of(),),
        "not signed by this root": (forged.list_of(),),
    }
    for why, lists in cases.items():
        announced = _member("site-0", Terms()).announce().model_dump(mode="json")
        with pytest.raises(UpdateError, match=why):
            _collector(lists).add_announcement("site-0", announced)
