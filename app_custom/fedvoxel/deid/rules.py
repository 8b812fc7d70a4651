"""The rules by which a value may stay or is replaced: a value that fits no rule goes.

A rule gets the value as pydicom read it, the subject, and the item that it stands in, and returns what may go out, or
None. It must return something that it made or checked itself, never the value unseen.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag
from pydicom.multival import MultiValue

from fedvoxel.deid.dates import shifted_date, shifted_datetime, shifted_time
from fedvoxel.deid.known_uids import REGISTERED
from fedvoxel.deid.label_text import plain_name
from fedvoxel.deid.subject import Subject

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_AGE = re.compile(r"(\d{3})([DWMY])")
_OLDEST_YEARS = 89


class Rule(Protocol):
    """Decides about one attribute's value."""

    @property
    def does(self) -> str:
        """Returns what the rule does, for the conformance table."""

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """Returns the value that may go out, or None."""


def values_of(value: Any) -> Sequence[Any]:
    """Returns a value's parts, one or several."""
    return value if isinstance(value, MultiValue | list | tuple) else (value,)


def _joined(parts: list[Any]) -> Any:
    return parts[0] if len(parts) == 1 else parts


@dataclass(frozen=True)
class Number:
    """Keeps numbers within a range; text that is no number, NaN and infinities go."""

    low: float
    high: float

    @property
    def does(self) -> str:
        """See `Rule`."""
        return f"kept if every value is a number in {self.low:g}..{self.high:g}"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        parts = values_of(value)
        if isinstance(parts, bytes):
            return None
        kept = [self._kept(part) for part in parts]
        return None if any(part is None for part in kept) else _joined(kept)

    def _kept(self, part: Any) -> Any:
        if isinstance(part, bool | bytes) or part is None:
            return None
        if isinstance(part, str) and not _DECIMAL.fullmatch(str(part).strip(" \0")):
            return None
        try:
            number = float(part)
        except (TypeError, ValueError, OverflowError):
            return None
        if not (math.isfinite(number) and self.low <= number <= self.high):
            return None
        if isinstance(part, float):
            return _decimal(part)
        return int(part) if isinstance(part, int) else _whole(number)


def _decimal(part: float) -> Any:
    # A DS of pydicom remembers its text, which then is exact; what was computed is written in full.
    text = getattr(part, "original_string", None)
    return text.strip(" \0") if isinstance(text, str) and _DECIMAL.fullmatch(text.strip(" \0")) else float(part)


def _whole(number: float) -> Any:
    return int(number) if number.is_integer() else number


@dataclass(frozen=True)
class Terms:
    """Keeps values that are all among the standard's terms; with `other`, a strange one becomes that."""

    terms: frozenset[str]
    other: str | None = None

    @property
    def does(self) -> str:
        """See `Rule`."""
        strange = f", a strange one becomes {self.other}" if self.other else ""
        return f"kept if among {len(self.terms)} terms of the standard{strange}"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        kept = []
        for part in values_of(value):
            term = part.strip(" \0") if isinstance(part, str) else None
            if term not in self.terms:
                term = self.other
            if term is None:
                return None
            kept.append(term)
        return _joined(kept)


@dataclass(frozen=True)
class Pattern:
    """Keeps values of a form that is too narrow to hold an identifier."""

    pattern: re.Pattern[str]
    does: str

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        parts = [part.strip(" \0") if isinstance(part, str) else "" for part in values_of(value)]
        return _joined(parts) if all(self.pattern.fullmatch(part) for part in parts) else None


@dataclass(frozen=True)
class MappedUid:
    """Replaces UIDs; only those that the standard itself registers stay."""

    does: str = "replaced by a UID from the project's key; UIDs registered in PS3.6 stay"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        new = []
        for part in values_of(value):
            uid = part.strip(" \0") if isinstance(part, str) else ""
            if not uid:
                return None
            new.append(uid if uid in REGISTERED else subject.uid(uid))
        return _joined(new)


@dataclass(frozen=True)
class KnownUid:
    """Keeps UIDs that the standard registers."""

    does: str = "kept if registered in PS3.6"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        uids = [part.strip(" \0") if isinstance(part, str) else "" for part in values_of(value)]
        return _joined(uids) if all(uid in REGISTERED for uid in uids) else None


@dataclass(frozen=True)
class KnownTag:
    """Keeps tags of the standard's own attributes."""

    does: str = "kept if a tag of PS3.6"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        tags = values_of(value)
        known = all(isinstance(tag, int) and dictionary_has_tag(tag) for tag in tags)
        return _joined([int(tag) for tag in tags]) if known else None


@dataclass(frozen=True)
class Constant:
    """Replaces a value by a fixed one."""

    value: str

    @property
    def does(self) -> str:
        """See `Rule`."""
        return f'replaced by "{self.value}"' if self.value else "emptied"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        return self.value


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
        return None if None in moved else _joined(moved)

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


@dataclass(frozen=True)
class Label:
    """Keeps names that the cohort's configuration holds, as written there; another becomes "segment" and its number.

    Attributes:
        number: The keyword of the number that stands in the same item.
    """

    number: str

    @property
    def does(self) -> str:
        """See `Rule`."""
        return 'kept if the cohort\'s configuration holds that name, else "segment" and its number'

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        text = plain_name(value) if isinstance(value, str) else ""
        known = next((name for name in sorted(subject.names) if plain_name(name) == text), None)
        if known is not None:
            return known  # in the configuration's own spelling
        number = item.get(self.number)
        return f"segment {int(number)}" if isinstance(number, int) and 0 <= number <= 99_999 else "segment"
