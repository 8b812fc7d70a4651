"""Which sites are said to be slow."""

from fedvoxel.federation.slow_sites import SlowSites


def test_a_site_that_takes_several_times_its_own_usual_time_is_slow() -> None:
    sites = SlowSites()
    for took_s in (20.0, 22.0, 24.0):
        sites.note({"hospital-a": took_s, "hospital-b": 100.0})
    seconds = {"hospital-a": 70.0, "hospital-b": 110.0}
    assert sites.slow(seconds, {}) == {"hospital-a": "slow: 70 s, it usually takes 22 s"}
    assert sites.slow({"hospital-a": 65.0}, {}) == {}


def test_a_site_that_takes_several_times_as_long_as_the_others_is_slow_from_its_first_round() -> None:
    others = {"hospital-b": 20.0, "hospital-c": 24.0, "hospital-a": 90.0}
    assert SlowSites().slow({"hospital-a": 90.0}, others) == {"hospital-a": "slow: 90 s, the others took 22 s"}
    assert SlowSites().slow({"hospital-a": 90.0}, {"hospital-b": 20.0}) == {}, "one other says nothing"


def test_seconds_of_starting_up_make_nobody_slow() -> None:
    sites = SlowSites()
    sites.note({"hospital-a": 1.0})
    sites.note({"hospital-a": 1.0})
    assert sites.slow({"hospital-a": 9.0}, {}) == {}
