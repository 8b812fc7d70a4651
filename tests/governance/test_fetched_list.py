"""What a server hands a site as revocation lists while the root changes: nothing of it rolls a list back."""

import shutil
from pathlib import Path

import pytest

from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.authority import Authority, Root
from fedvoxel.governance.fetched_list import copy_of, site_lists, take_up_list
from fedvoxel.governance.kit import Kit, ServerAddress
from fedvoxel.governance.rotation import begin_rotation
from fedvoxel.records.revocation import read_lists
from tests.governance.quick_authority import PASSPHRASE, quick_authority


class Site:
    """A site's kit beside an authority whose root changes; the site trusts the old one only."""

    def __init__(self, folder: Path) -> None:
        old = quick_authority(folder / "ca")
        self.early = old.list_file.read_bytes()
        self.kit = Kit(folder / "site", "site", "hospital-a", "a", ServerAddress("h", 1, "http"), "small")
        self.kit.startup.mkdir(parents=True)
        shutil.copy(old.folder / "rootCA.pem", self.kit.startup)
        self.both = begin_rotation(old, old.folder, PASSPHRASE, 3650, 90)
        self.place = self.kit.startup / "crl.pem"

    def lists(self, *roots: Root) -> bytes:
        """Returns the newest lists of some roots."""
        Authority(self.both.folder, roots).sign_list(90)
        return self.both.list_file.read_bytes()

    def trust_both(self) -> None:
        shutil.copy(self.both.folder / "rootCA.pem", self.kit.startup)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_forged_list_beside_a_good_one_makes_that_one_not_forgotten(site: Site, tmp_path: Path) -> None:
    """The attack of a server that wants a revoked person back."""
    old, new = site.both.roots
    stranger = quick_authority(tmp_path / "stranger", number=1)
    forged = site.lists(Root(new.certificate, stranger.key))
    newest = site.lists(old)
    assert take_up_list(site.kit, newest + forged)
    assert [one.issuer for one in read_lists(site.place)] == [old.certificate.subject]

    site.place.write_bytes(newest + forged)  # as a version before this one kept it
    site.trust_both()
    with pytest.raises(ConsortiumError, match="older"):
        take_up_list(site.kit, site.early + site.lists(new))


def test_a_list_that_is_left_out_is_not_forgotten(site: Site) -> None:
    old, new = site.both.roots
    site.trust_both()
    assert take_up_list(site.kit, site.lists(old, new))
    assert take_up_list(site.kit, site.lists(new))
    assert len(read_lists(site.place)) == 2
    with pytest.raises(ConsortiumError, match="older"):
        take_up_list(site.kit, site.early + site.lists(new))


def test_the_list_of_a_new_root_comes_with_that_root(site: Site) -> None:
    """A server hands out the same every minute; a root may be taken up later than the lists."""
    newest = site.lists(*site.both.roots)
    assert take_up_list(site.kit, newest) and not take_up_list(site.kit, newest)
    assert len(read_lists(site.place)) == 1
    site.trust_both()
    assert take_up_list(site.kit, newest) and not take_up_list(site.kit, newest)
    assert site.place.read_bytes() == newest


def test_a_list_that_the_site_has_had_is_missed_until_it_is_there_again(site: Site) -> None:
    """Without a list nobody is known to be revoked: a kit of old has none, this one had."""
    assert site_lists(site.kit) == ()
    newest = site.lists(*site.both.roots[:1])
    assert take_up_list(site.kit, newest)
    for content in (None, site.early):
        site.place.unlink() if content is None else site.place.write_bytes(content)
        with pytest.raises(ConsortiumError, match="gone, or older"):
            site_lists(site.kit)
        with pytest.raises(ConsortiumError, match="older"):
            take_up_list(site.kit, site.early)
        assert take_up_list(site.kit, newest)
        assert len(site_lists(site.kit)) == 1
    site.place.unlink()
    copy_of(site.kit).write_bytes(b"damaged")
    with pytest.raises(ConsortiumError, match="gone, or older"):
        site_lists(site.kit)
