"""Reads and writes the standard's dates and times, and moves them.

Moments are written to the whole second: the interval is one of whole seconds, so fractions would stay as they were, and
tell that objects of two projects are of one scan.

Source: DICOM PS3.5 section 6.2 (DA, TM, DT). What is not exactly of that form is not guessed.
"""

import re
from datetime import date, datetime, timedelta

_DA = re.compile(r"(\d{4})(\d{2})(\d{2})")
_TM = re.compile(r"(\d{2})(?:(\d{2})(?:(\d{2})(?:\.\d{1,6})?)?)?")
_DT = re.compile(r"(\d{14})(?:\.\d{1,6})?(?:[+-]\d{4})?")
_DAY = timedelta(days=1)


def read_date(text: str) -> date | None:
    """Returns the day that a DA value names, or None."""
    found = _DA.fullmatch(text.strip(" \0"))
    try:
        return date(*(int(part) for part in found.groups())) if found else None
    except ValueError:
        return None


def read_time(text: str) -> timedelta | None:
    """Returns the whole seconds since midnight that a TM value names, or None; missing minutes and seconds are 0."""
    found = _TM.fullmatch(text.strip(" \0"))
    if not found:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    time = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return time if hours < 24 and minutes < 60 and seconds < 60 else None


def shifted_date(text: str, time: str, shift: timedelta) -> str | None:
    """Returns a DA value moved back by `shift`, or None if it cannot be.

    Args:
        text: The DA value.
        time: The TM value that belongs to it, or "": then it is moved by whole days.
        shift: How far.
    """
    day, clock = read_date(text), read_time(time)
    if day is None:
        return None
    try:
        days = timedelta(days=shift.days) if clock is None else _DAY * -((clock - shift) // _DAY)
        return f"{day - days:%Y%m%d}".zfill(8)
    except OverflowError:
        return None


def shifted_time(text: str, shift: timedelta) -> str | None:
    """Returns a TM value moved back by `shift`, around the clock, to the second, or None if it cannot be."""
    clock = read_time(text)
    if clock is None:
        return None
    moved = datetime(2000, 1, 1) + (clock - shift) % _DAY
    return f"{moved:%H%M%S}"


def shifted_datetime(text: str, shift: timedelta) -> str | None:
    """Returns a DT value moved back by `shift`, without its time zone, or None if it is not known to the second."""
    found = _DT.fullmatch(text.strip(" \0"))
    if not found:
        return None
    try:
        moved = datetime.strptime(found[1], "%Y%m%d%H%M%S") - shift
    except (ValueError, OverflowError):
        return None
    return f"{moved:%Y%m%d%H%M%S}".zfill(14)
