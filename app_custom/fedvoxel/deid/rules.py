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
from pydicom.valuerep import DSfloat, format_number_as_ds

from fedvoxel.deid.known_uids import REGISTERED
from fedvoxel.deid.subject import Subject

_LONGEST_DS, _LONGEST_IS = 16, 12
"""Characters (PS3.5 Table 6.2-1): what is longer could hold more than a measurement."""

_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")


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


def joined(parts: list[Any]) -> Any:
    """Returns parts as pydicom takes them: one alone, or several."""
    return parts[0] if len(parts) == 1 else parts


@dataclass(frozen=True)
class Number:
    """Keeps numbers within a range; text that is no number, NaN and infinities go.

    Attributes:
        low: The lowest.
        high: The highest.
        most: How many values the standard lets the attribute have; None for any number.
        decimals: To how many decimals a value is rounded; None for not at all.
    """

    low: float
    high: float
    most: int | None = None
    decimals: int | None = None

    @property
    def does(self) -> str:
        """See `Rule`."""
        rounded = "" if self.decimals is None else f", rounded to {self.decimals} decimals"
        return f"kept if every value is a number in {self.low:g}..{self.high:g}{rounded}"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        parts = values_of(value)
        if isinstance(parts, bytes) or (self.most is not None and len(parts) > self.most):
            return None
        kept = [self._kept(part) for part in parts]
        return None if any(part is None for part in kept) else joined(kept)

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
        if self.decimals is not None:
            return _whole(round(number, self.decimals))
        if isinstance(part, float):
            return _decimal(part)
        if isinstance(part, int) and len(_text_of(part)) > _LONGEST_IS:
            return None
        return int(part) if isinstance(part, int) else _whole(number)


def _decimal(part: float) -> Any:
    # A DS of pydicom remembers its text, which then is exact; any other is written anew in what a DS may hold.
    text = _text_of(part)
    if len(text) <= _LONGEST_DS and _DECIMAL.fullmatch(text):
        return text
    return format_number_as_ds(float(part)) if isinstance(part, DSfloat) else float(part)


def _text_of(part: Any) -> str:
    """Returns the text that a number was read from, "" if none."""
    text = getattr(part, "original_string", None)
    return text.strip(" \0") if isinstance(text, str) else ""


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
        return joined(kept)


@dataclass(frozen=True)
class Pattern:
    """Keeps values of a form that is too narrow to hold an identifier, `most` of them."""

    pattern: re.Pattern[str]
    does: str
    most: int

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        parts = [part.strip(" \0") if isinstance(part, str) else "" for part in values_of(value)]
        fits = len(parts) <= self.most and all(self.pattern.fullmatch(part) for part in parts)
        return joined(parts) if fits else None


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
        return joined(new)


@dataclass(frozen=True)
class KnownUid:
    """Keeps UIDs that the standard registers."""

    does: str = "kept if registered in PS3.6"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        uids = [part.strip(" \0") if isinstance(part, str) else "" for part in values_of(value)]
        return joined(uids) if all(uid in REGISTERED for uid in uids) else None


@dataclass(frozen=True)
class KnownTag:
    """Keeps tags of the standard's own attributes."""

    does: str = "kept if a tag of PS3.6"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        tags = values_of(value)
        known = all(isinstance(tag, int) and dictionary_has_tag(tag) for tag in tags)
        return joined([int(tag) for tag in tags]) if known else None


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
