"""A round that is begun again: no mask twice, no old message, and never two sums over different sites."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from fedvoxel.errors import UpdateError
from fedvoxel.updates.secure.attempts import SummedRound
from fedvoxel.updates.secure.session import session_name
from tests.updates.secure.secure_sites import AGREED, Consortium

AGAIN = session_name("run", 3, 2)
SITES = ("a", "b", "c", "d", "e")


def _sent(message: object) -> object:
    return message.model_dump(mode="json")  # type: ignore[attr-defined]


def test_the_same_values_are_masked_anew_in_every_attempt() -> None:
    """What is left of the difference of two messages with the same values are masks, and no mask twice."""
    one, two = Consortium(4, size=100_000), Consortium(4, size=100_000, session=AGAIN)
    two.values = one.values
    sums = [each.whole_round()[1] for each in (one, two)]
    assert np.array_equal(*sums)
    first, second = (one.ring.unpack(each.written["site-0"][21:], 100_000).astype(np.int64) for each in (one, two))
    left = (first - second) & 0xFFFF
    for shift in (0, 8):
        assert stats.chisquare(np.bincount((left >> shift) & 255, minlength=256)).pvalue > 1e-6


def test_what_was_said_in_one_attempt_counts_in_no_other() -> None:
    old, new = Consortium(4), Consortium(4, session=AGAIN)
    old.values = new.values
    old.whole_round()
    announced = _sent(old.members["site-1"]._own)
    with pytest.raises(UpdateError, match="another run, round or attempt"):
        new.collector.add_announcement("site-1", announced)
    new.announce()
    roster = new.collector.roster()
    replaced = [announced if each["site"] == "site-1" else each for each in roster]
    with pytest.raises(UpdateError, match="another run, round or attempt"):
        new.members["site-0"].share(replaced)


def test_an_old_signature_and_an_old_masked_message_are_found() -> None:
    old, new = Consortium(4), Consortium(4, session=AGAIN)
    old.values = new.values
    old.whole_round()
    for stage in ("announce", "share"):
        getattr(new, stage)()
    new.mask(without=["site-1"])
    new.collector.add_masked("site-1", old.written["site-1"])
    with pytest.raises(UpdateError, match="has not signed"):
        new.collector.add_confirmation("site-1", {"signature": old.collector.confirmations()["site-1"]})
    new.confirm()
    stale = new.collector.confirmations() | {"site-1": old.collector.confirmations()["site-1"]}
    with pytest.raises(UpdateError, match="has not signed"):
        new.members["site-0"].reveal(stale)
    for name in new.names[1:]:
        new.collector.add_reveal(name, _sent(new.members[name].reveal(new.collector.confirmations())))
    with pytest.raises(UpdateError, match="does not match its sites' checksums"):
        new.collector.total(AGREED)


@pytest.mark.parametrize("colluders", [0, 1])
def test_a_roster_is_taken_only_if_no_two_lists_can_both_be_signed(colluders: int) -> None:
    """By trying all: wherever the note lets a roster pass, any two sets of signers share more than the colluders."""
    first, stay = SITES[:4], 3
    noted = SummedRound().masked(7, 1, first, stay, colluders)
    taken = 0
    for count in (3, 4, 5):
        for roster in combinations(SITES, count):
            for needed in range(2, count + 1):
                shared = [
                    len(set(one) & set(two))
                    for one in combinations(first, stay)
                    for two in combinations(roster, needed)
                ]
                try:
                    noted.check_roster(7, roster, needed, colluders)
                except UpdateError:
                    continue
                taken += 1
                assert min(shared) > colluders
    assert taken


def test_an_attempt_is_held_against_every_one_before() -> None:
    noted = SummedRound().masked(7, 1, SITES[:3], 3, 0).masked(7, 2, SITES[:4], 3, 0)
    noted.check_roster(7, SITES[:4], 3, 0)
    with pytest.raises(UpdateError, match="no two sums"):
        noted.check_roster(7, SITES[1:], 3, 1)
    noted.check_roster(8, ("x", "y", "z"), 3, 1)


def test_one_list_is_signed_for_each_round() -> None:
    noted = SummedRound().masked(7, 1, SITES, 4, 0).signing(7, 1, SITES[:4])
    again = noted.masked(7, 2, SITES, 4, 0)
    assert again.signing(7, 2, list(reversed(SITES[:4]))).signed == SITES[:4]
    for other in (SITES, SITES[1:], SITES[:3]):
        with pytest.raises(UpdateError, match="not of the same"):
            again.signing(7, 2, other)
    later = again.masked(8, 2, SITES, 4, 0)
    assert (later.signed, len(later.attempts)) == (None, 1)
    assert later.signing(8, 2, SITES).signed == SITES


def test_no_masked_message_leaves_that_could_not_have_been_begun() -> None:
    """What another process of the site has noted since the round was begun counts."""
    noted = SummedRound().masked(7, 2, SITES[:4], 3, 0)
    for index, attempt in ((6, 1), (6, 3), (7, 1), (7, 2)):
        with pytest.raises(UpdateError, match="went into a sum of this run before"):
            noted.masked(index, attempt, SITES[:4], 3, 0)
    with pytest.raises(UpdateError, match="no two sums"):
        noted.masked(7, 3, ("a", "x", "y", "z"), 3, 0)


@pytest.mark.parametrize("place", [(6, 1), (8, 1), (7, 1), (7, 3)])
def test_a_signature_leaves_in_the_last_attempt_alone(place: tuple[int, int]) -> None:
    noted = SummedRound().masked(7, 1, SITES, 4, 0).masked(7, 2, SITES, 4, 0)
    assert noted.signing(7, 2, SITES)
    with pytest.raises(UpdateError, match="expected attempt 2 at round 7"):
        noted.signing(*place, SITES)


def test_nothing_is_signed_before_a_masked_message() -> None:
    with pytest.raises(UpdateError, match="a signature asked for"):
        SummedRound(last=7).signing(7, 1, SITES)
