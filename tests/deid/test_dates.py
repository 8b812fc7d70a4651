"""Dates move together and keep their distances; what is no date is not guessed."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedvoxel.deid.dates import read_date, read_time, shifted_date, shifted_datetime, shifted_time

MOMENTS = st.datetimes(datetime(1930, 1, 1), datetime(2090, 1, 1))
SHIFTS = st.builds(timedelta, days=st.integers(1, 3650), seconds=st.integers(0, 86_399))


@given(MOMENTS, SHIFTS)
def test_a_date_with_its_time_is_moved_exactly_and_fractions_of_seconds_go(moment: datetime, shift: timedelta) -> None:
    day, clock = f"{moment:%Y%m%d}", f"{moment:%H%M%S.%f}"
    moved_day, moved_clock = shifted_date(day, clock, shift), shifted_time(clock, shift)
    assert moved_day and moved_clock
    assert datetime.strptime(moved_day + moved_clock, "%Y%m%d%H%M%S") == moment.replace(microsecond=0) - shift
    assert shifted_time(f"{moment:%H%M%S}", shift) == moved_clock
    assert shifted_datetime(f"{day}{clock}+0100", shift) == moved_day + moved_clock


@given(MOMENTS, SHIFTS)
def test_a_date_alone_moves_by_whole_days(moment: datetime, shift: timedelta) -> None:
    moved = shifted_date(f"{moment:%Y%m%d}", "", shift)
    assert moved and read_date(moved) == moment.date() - timedelta(days=shift.days)


@pytest.mark.parametrize(
    "text", ["", "2013", "20131301", "20130230", "2013.04.05", "20130405-20130406", "x", "201304051"]
)
def test_what_is_no_date_goes(text: str) -> None:
    assert shifted_date(text, "", timedelta(days=3)) is None


@pytest.mark.parametrize("text", ["", "2", "240000", "126000", "12:13", "1200-1300", "121314.1234567", "noon"])
def test_what_is_no_time_goes(text: str) -> None:
    assert shifted_time(text, timedelta(days=3)) is None


@pytest.mark.parametrize("text", ["", "2013", "20130405", "20130405121314+01", "20130405126000", "x"])
def test_what_is_no_moment_to_the_second_goes(text: str) -> None:
    assert shifted_datetime(text, timedelta(days=3)) is None


def test_before_the_calendar_there_is_nothing() -> None:
    assert shifted_date("00010101", "", timedelta(days=3)) is None
    assert shifted_datetime("00010101000000", timedelta(days=3)) is None


def test_short_times_are_read() -> None:
    assert read_time("12") == timedelta(hours=12) and read_time("1213") == timedelta(hours=12, minutes=13)
