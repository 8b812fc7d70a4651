"""The rules for what describes the patient: dates, age, and characteristics, as far as the policy lets them stay."""

import re
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset

from fedvoxel.deid.dates import shifted_date, shifted_datetime, shifted_time
from fedvoxel.deid.rules import Rule, joined, values_of
from fedvoxel.deid.subject import Subject

_AGE = re.compile(r"(\d{3})([DWMY])")
_OLDEST_YEARS = 89


@dataclass(frozen=True)
class Moved:
    """Moves dates (DA), times (TM) and both (DT) back by the patient's own interval, where the policy says so.

    Attributes:
        vr: DA, TM or DT.
        time: For a date: the keyword of the time that belongs to it.
    """

    vr: str
    time: str = ""

    @property
    def does(self) -> str:
        """See `Rule`."""
        return "moved back by the patient's keyed interval; nothing is kept under dates=remove"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        if subject.policy.dates != "shift":
            return None
        moved = [self._moved(str(part), subject, item) for part in values_of(value)]
        return None if None in moved else joined(moved)

    def _moved(self, text: str, subject: Subject, item: Dataset) -> str | None:
        if self.vr == "TM":
            return shifted_time(text, subject.shift)
        if self.vr == "DT":
            return shifted_datetime(text, subject.shift)
        time = str(item.get(self.time) or "") if self.time else ""
        return shifted_date(text, time, subject.shift)


@dataclass(frozen=True)
class Characteristic:
    """Applies a rule if the policy keeps patients' characteristics."""

    rule: Rule

    @property
    def does(self) -> str:
        """See `Rule`."""
        return f"{self.rule.does}; nothing is kept without patient_characteristics"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        return self.rule(value, subject, item) if subject.policy.patient_characteristics else None


@dataclass(frozen=True)
class Age:
    """Keeps an age; more than 89 years become 90 years."""

    does: str = "kept if of the standard's form; 90 years and more become 090Y"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        found = _AGE.fullmatch(value.strip(" \0")) if isinstance(value, str) else None
        if not found:
            return None
        return "090Y" if found[2] == "Y" and int(found[1]) > _OLDEST_YEARS else found[0]
