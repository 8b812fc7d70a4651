"""Whole rounds of secure aggregation: sums, sites that vanish, and everybody who does not keep to the protocol."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fedvoxel.errors import UpdateError
from fedvoxel.updates.secure.collector import Collector
from fedvoxel.updates.secure.config import SecureConfig, threshold
from fedvoxel.updates.secure.identity import Signers
from fedvoxel.updates.secure.member import Member
from fedvoxel.updates.secure.ring import Ring
from fedvoxel.updates.secure.session import agreement, session_name
from fedvoxel.updates.secure.terms import Terms
from tests.updates.secure.secure_sites import AGREED, SESSION, TASK, Consortium, identity, root


@pytest.mark.parametrize("bits", [8, 10, 16, 32])
@pytest.mark.parametrize("sites", [3, 4, 8])
def test_the_sum_is_exact(sites: int, bits: int) -> None:
    consortium = Consortium(sites, dropouts=0, bits=bits)
    cases, values = consortium.whole_round()
    assert np.array_equal(values, consortium.sum_of(consortium.names))
    assert cases == sum(range(10, 10 + sites))


@pytest.mark.parametrize("stage", ["announce", "share", "mask", "confirm", "reveal"])
def test_a_site_that_vanishes_is_recovered_from(stage: str) -> None:
    consortium = Consortium(5)
    _, values = consortium.whole_round({stage: ["site-2"]})
    left_out = [] if stage in ("confirm", "reveal") else ["site-2"]
    assert np.array_equal(values, consortium.sum_of([name for name in consortium.names if name not in left_out]))


def test_as_many_may_vanish_as_the_job_says_and_no_more() -> None:
    _, values = (consortium := Consortium(7, dropouts=2)).whole_round({"mask": ["site-0"], "reveal": ["site-6"]})
    assert np.array_equal(values, consortium.sum_of(consortium.names[1:]))
    with pytest.raises(UpdateError, match="4 sites have revealed shares, 5 are needed"):
        Consortium(7, dropouts=2).whole_round({"mask": ["site-0"], "reveal": ["site-5", "site-6"]})


def test_a_masked_update_cannot_be_told_from_uniform_noise() -> None:
    """Of all zeros, and of the largest values: the same distribution, and no trace of the values in it."""
    size, ring = 200_000, Ring(16)
    for value in (0, ring.most(4)):
        consortium = Consortium(4, size=size)
        consortium.values = {name: np.full(size, value) for name in consortium.names}
        consortium.whole_round()
        masked = ring.unpack(consortium.written["site-0"][21:], size)
        for shift in (0, 8):
            counts = np.bincount((masked >> shift) & 255, minlength=256)
            assert stats.chisquare(counts).pvalue > 1e-6
        assert abs(np.corrcoef(masked[:-1], masked[1:])[0, 1]) < 0.02
    assert stats.chisquare(np.bincount(np.zeros(size, int), minlength=256)).pvalue < 1e-6


def test_without_a_mask_the_same_look_finds_the_update() -> None:
    size, ring = 200_000, Ring(16)
    values = np.random.default_rng(1).integers(-100, 100, size)
    counts = np.bincount(ring.residues(values) >> 8, minlength=256)
    assert stats.chisquare(counts).pvalue < 1e-6


def test_all_pairs_but_one_do_not_unmask_a_site() -> None:
    """The server and two of five sites together: what is left on the third is still uniform."""
    consortium = Consortium(5, size=100_000)
    consortium.values["site-0"] = np.zeros(100_000, np.int64)
    consortium.whole_round()
    others = [consortium.written[name] for name in ("site-0", "site-1", "site-2")]
    ring = consortium.ring
    partial = sum(ring.unpack(each[21:], 100_000).astype(np.int64) for each in others)
    counts = np.bincount((partial >> 8) & 255, minlength=256)
    assert stats.chisquare(counts).pvalue > 1e-6


def test_masks_are_new_in_every_round() -> None:
    one, two = Consortium(3, dropouts=0), Consortium(3, dropouts=0, session=session_name("run", 4))
    one.whole_round()
    two.whole_round()
    assert one.written["site-0"] != two.written["site-0"]


def test_what_cannot_hide_a_site_is_refused() -> None:
    def least(sites: int, dropouts: int, least_sites: int = 3) -> int:
        return threshold(sites, SecureConfig(dropouts=dropouts, least_sites=least_sites))

    assert [least(2, 0), least(2, 1), least(6, 3), least(8, 4), least(4, 1, 5)] == [0, 0, 0, 0, 0]
    assert [least(3, 1), least(4, 1), least(5, 3), least(8, 1), least(9, 4), least(5, 2, 5)] == [3, 3, 3, 7, 5, 5]
    with pytest.raises(UpdateError, match="too few to hide one"):
        Consortium(2, dropouts=0).whole_round()


def test_a_site_refuses_what_its_hospital_does_not_want() -> None:
    announced = [
        Member(identity(name), SESSION, SecureConfig(), TASK).announce().model_dump()
        for name in ("site-1", "site-2", "site-3")
    ]
    careful = Member(identity("site-0"), SESSION, SecureConfig(), TASK, Terms(least_sites=4))
    with pytest.raises(UpdateError, match="expected 4 in the sum at least"):
        careful.share([*announced, careful.announce().model_dump()])
    choosy = Member(identity("site-0"), SESSION, SecureConfig(), TASK, Terms(partners=["site-0", "site-1", "site-2"]))
    with pytest.raises(UpdateError, match="nobody of: site-3"):
        choosy.share([*announced, choosy.announce().model_dump()])


def _with_server_in_the_middle(field: str) -> list[dict[str, Any]]:
    consortium = Consortium(4)
    consortium.announce()
    roster = consortium.collector.roster()
    roster[1] = roster[1] | {field: roster[2][field] if field != "mask_key" else "11" * 32}
    with pytest.raises(UpdateError) as refused:
        consortium.members["site-0"].share(roster)
    return [{"reason": str(refused.value)}]


@pytest.mark.parametrize("field", ["mask_key", "certificate", "session", "signature"])
def test_the_server_cannot_put_its_own_keys_in_the_middle(field: str) -> None:
    if field == "session":
        stale = Member(identity("site-1"), session_name("run", 2), SecureConfig(), TASK).announce().model_dump()
        fresh = Member(identity("site-0"), SESSION, SecureConfig(), TASK)
        with pytest.raises(UpdateError, match="another run, round or attempt"):
            fresh.share([fresh.announce().model_dump(), stale])
        return
    assert _with_server_in_the_middle(field)


def test_a_roster_without_the_site_itself_is_refused() -> None:
    consortium = Consortium(5)
    consortium.announce()
    roster = [each for each in consortium.collector.roster() if each["site"] != "site-0"]
    with pytest.raises(UpdateError, match="without this site's own keys"):
        consortium.members["site-0"].share(roster)


def test_two_stories_of_who_is_in_the_sum_find_no_signatures() -> None:
    """The server says to some that site-0 is in the sum, and to the others that it is not."""
    consortium = Consortium(5)
    for stage in ("announce", "share", "mask"):
        getattr(consortium, stage)()
    everybody, without = consortium.names, consortium.names[1:]
    signed = {name: consortium.members[name].confirm(everybody).signature for name in consortium.names[:3]}
    signed |= {name: consortium.members[name].confirm(without).signature for name in consortium.names[3:]}
    for name in consortium.names:
        with pytest.raises(UpdateError, match=r"has not signed|signatures of who is in the sum"):
            consortium.members[name].reveal(signed)


def test_too_small_a_sum_is_not_confirmed() -> None:
    consortium = Consortium(5)
    for stage in ("announce", "share", "mask"):
        getattr(consortium, stage)()
    for alive, reason in ((["site-0", "site-1", "site-2"], "a sum of 3 sites"), (consortium.names[1:], "without this")):
        member = consortium.members["site-0"]
        member._next = "confirm"  # the test asks the same member twice
        with pytest.raises(UpdateError, match=reason):
            member.confirm(alive)


def test_nothing_is_answered_twice() -> None:
    consortium = Consortium(4)
    consortium.whole_round()
    with pytest.raises(UpdateError, match="expected nothing more, got reveal"):
        consortium.members["site-0"].reveal(consortium.collector.confirmations())
    fresh = Member(identity("site-0"), SESSION, SecureConfig(), TASK)
    with pytest.raises(UpdateError, match="expected announce, got confirm"):
        fresh.confirm(["site-0"])


def _refused(collector_call: Any, *arguments: Any) -> str:
    with pytest.raises(UpdateError) as refused:
        collector_call(*arguments)
    return str(refused.value)


def test_a_share_that_does_not_match_is_refused_by_name_and_the_sum_comes_without_it() -> None:
    consortium = Consortium(5)
    for stage in ("announce", "share", "mask", "confirm"):
        getattr(consortium, stage)()
    confirmed = consortium.collector.confirmations()
    for index, name in enumerate(consortium.names):
        revealed = consortium.members[name].reveal(confirmed).model_dump()
        if index == 4:
            revealed["seeds"]["site-1"] = "00" * 16
            assert "site-1's that does not match" in _refused(consortium.collector.add_reveal, name, revealed)
        else:
            consortium.collector.add_reveal(name, revealed)
    _, values = consortium.collector.total(AGREED)
    assert np.array_equal(values, consortium.sum_of(consortium.names))


def test_a_bad_dealer_costs_nobody_a_part() -> None:
    """It deals one site something that cannot be opened, and another what it is not tied to."""
    consortium = Consortium(5)
    consortium.announce()
    roster = consortium.collector.roster()
    for name in consortium.names:
        dealt = consortium.members[name].share(roster).model_dump(mode="json")
        if name == "site-4":
            dealt["sealed"]["site-0"] = "ab" * 48
            dealt["commitments"]["site-1"] = ["00" * 32, "00" * 32]
        consortium.collector.add_shares(name, dealt)
    for stage in ("mask", "confirm", "reveal"):
        getattr(consortium, stage)()
    _, values = consortium.collector.total(AGREED)
    assert np.array_equal(values, consortium.sum_of(consortium.names))


def test_a_dealer_of_another_seed_is_named_where_its_own_word_is_missing() -> None:
    consortium = Consortium(4)
    consortium.announce()
    roster = consortium.collector.roster()
    for name in consortium.names:
        dealt = consortium.members[name].share(roster).model_dump(mode="json")
        consortium.collector.add_shares(name, dealt | ({"seed": "00" * 32} if name == "site-3" else {}))
    for stage in ("mask", "confirm"):
        getattr(consortium, stage)()
    consortium.reveal(without=["site-3"])
    assert "site-3 has dealt shares of another seed" in _refused(consortium.collector.total, AGREED)


def test_a_site_that_masks_something_else_spoils_the_sum_and_that_is_seen() -> None:
    consortium = Consortium(4, bits=32)
    for stage in ("announce", "share"):
        getattr(consortium, stage)()
    dealt = consortium.collector.dealt()
    for name in consortium.names:
        consortium.members[name].open(dealt)
        written = consortium.members[name].mask(10, consortium.values[name], consortium.ring, AGREED)
        if name == "site-2":
            written = written[:21] + np.random.default_rng(1).bytes(len(written) - 21)
        consortium.collector.add_masked(name, written)
    for stage in ("confirm", "reveal"):
        getattr(consortium, stage)()
    assert "has not kept to the protocol" in _refused(consortium.collector.total, AGREED)


def test_a_bit_that_flips_on_the_way_is_seen() -> None:
    consortium = Consortium(4)
    for stage in ("announce", "share"):
        getattr(consortium, stage)()
    dealt = consortium.collector.dealt()
    for name in consortium.names:
        consortium.members[name].open(dealt)
        written = bytearray(consortium.members[name].mask(10, consortium.values[name], consortium.ring, AGREED))
        written[40] ^= name == "site-1"
        consortium.collector.add_masked(name, bytes(written))
    for stage in ("confirm", "reveal"):
        getattr(consortium, stage)()
    assert "checksums" in _refused(consortium.collector.total, AGREED)


def test_what_is_no_masked_message_is_refused() -> None:
    consortium = Consortium(4)
    for stage in ("announce", "share"):
        getattr(consortium, stage)()
    dealt, collector = consortium.collector.dealt(), consortium.collector
    consortium.members["site-0"].open(dealt)
    good = consortium.members["site-0"].mask(10, consortium.values["site-0"], consortium.ring, AGREED)
    bad: Mapping[str, bytes] = {
        "got something else": b"",
        "another ring": good[:4] + b"\x20" + good[5:],
        "of 99 bytes, expected 100": good[:-1],
        "of 101 bytes, expected 100": good + b"\0",
    }
    for reason, written in bad.items():
        assert reason in _refused(collector.add_masked, "site-0", written)
    collector.add_masked("site-0", good)
    assert "a second one" in _refused(collector.add_masked, "site-0", good)
    assert "dealt no shares" in _refused(collector.add_masked, "nobody", good)


def test_keys_in_another_name_or_of_another_consortium_are_refused() -> None:
    collector = Collector(SESSION, Signers(root()), SecureConfig(), Ring(16), 5)
    keys = Member(identity("site-1"), SESSION, SecureConfig(), TASK).announce().model_dump()
    assert "another site's name" in _refused(collector.add_announcement, "site-2", keys)
    assert "not site-2's" in _refused(collector.add_announcement, "site-2", keys | {"site": "site-2"})
    assert "version 2" in _refused(collector.add_announcement, "site-1", keys | {"protocol": 2})
    assert "signature" in _refused(collector.add_announcement, "site-1", {})


def test_a_value_that_could_overflow_is_not_masked() -> None:
    consortium = Consortium(4)
    for stage in ("announce", "share"):
        getattr(consortium, stage)()
    too_large = np.full(50, consortium.ring.most(4) + 1)
    consortium.members["site-0"].open(consortium.collector.dealt())
    with pytest.raises(UpdateError, match="could overflow"):
        consortium.members["site-0"].mask(1, too_large, consortium.ring, AGREED)


def test_sites_that_were_told_different_things_do_not_unmask_one_of_them() -> None:
    """The server gives all but one site steps so wide that their parts are zeros: what comes out is no sum of any."""
    consortium = Consortium(4, dropouts=0, bits=32)
    for name in consortium.names[1:]:
        consortium.values[name] = np.zeros(50, np.int64)
        consortium.agreed[name] = agreement({"steps": 1e30})
    for stage in ("announce", "share", "mask", "confirm", "reveal"):
        getattr(consortium, stage)()
    for agreed in (AGREED, agreement({"steps": 1e30})):
        assert "checksums" in _refused(consortium.collector.total, agreed)


def test_another_task_or_the_server_among_the_sites_is_refused() -> None:
    for terms, task, reason in (
        (Terms(), "cd" * 32, "another task than this one: site-1"),
        (Terms(never=["site-1"]), TASK, "nobody of: site-1"),
        (Terms(most_sites=3), TASK, "expected 3 at most"),
    ):
        announced = [Member(identity(f"site-{n}"), SESSION, SecureConfig(), TASK).announce() for n in (2, 3)]
        announced.append(Member(identity("site-1"), SESSION, SecureConfig(), task).announce())
        member = Member(identity("site-0"), SESSION, SecureConfig(), TASK, terms)
        with pytest.raises(UpdateError, match=reason):
            member.share([*(each.model_dump() for each in announced), member.announce().model_dump()])


@pytest.mark.parametrize(("colluders", "fits"), [(0, True), (1, False)])
def test_who_sides_with_the_server_cannot_have_two_sums_signed(colluders: int, fits: bool) -> None:
    """Of five sites two may drop out: three stay, and one that signs twice makes two lists of three."""
    config = SecureConfig(dropouts=2)
    members = [Member(identity(f"site-{n}"), SESSION, config, TASK, Terms(colluders=colluders)) for n in range(5)]
    announced = [member.announce().model_dump() for member in members]
    if fits:
        assert members[0].share(announced).sealed
    else:
        with pytest.raises(UpdateError, match="cannot have two sums signed"):
            members[0].share(announced)


def test_a_key_that_everybody_shares_a_secret_with_is_refused_at_the_door() -> None:
    weak = Member(identity("site-1"), SESSION, SecureConfig(), TASK)
    unsigned = weak.announce().model_copy(update={"seal_key": "00" * 32})
    signed = unsigned.model_copy(update={"signature": identity("site-1").sign(unsigned.signed_bytes())})
    collector = Collector(SESSION, Signers(root()), SecureConfig(), Ring(16), 5)
    assert "gives no secret" in _refused(collector.add_announcement, "site-1", signed.model_dump())


def test_a_key_that_stands_there_twice_costs_its_site_alone_the_round() -> None:
    collector = Collector(SESSION, Signers(root()), SecureConfig(), Ring(16), 5)
    for name in ("site-0", "site-1", "site-2"):
        collector.add_announcement(name, Member(identity(name), SESSION, SecureConfig(), TASK).announce().model_dump())
    own = Member(identity("site-3"), SESSION, SecureConfig(), TASK).announce()
    for copied in (own.mask_key, collector.roster()[0]["seal_key"]):
        unsigned = own.model_copy(update={"seal_key": copied})
        signed = unsigned.model_copy(update={"signature": identity("site-3").sign(unsigned.signed_bytes())})
        assert "announced twice" in _refused(collector.add_announcement, "site-3", signed.model_dump())
    assert [each["site"] for each in collector.roster()] == ["site-0", "site-1", "site-2"]


def test_a_step_that_failed_is_the_last() -> None:
    consortium = Consortium(5)
    for stage in ("announce", "share", "mask"):
        getattr(consortium, stage)()
    member = consortium.members["site-0"]
    with pytest.raises(UpdateError, match="without this site"):
        member.confirm(consortium.names[1:])
    with pytest.raises(UpdateError, match="expected nothing more"):
        member.reveal({})


def test_a_confirmation_that_is_no_signature_is_refused() -> None:
    round_ = Consortium(3)
    for stage in ("announce", "share", "mask", "confirm"):
        getattr(round_, stage)()
    confirmed = dict(round_.collector.confirmations()) | {"site-1": 0.5}
    with pytest.raises(UpdateError, match="a confirmation that is no signature"):
        round_.members["site-0"].reveal(confirmed)
