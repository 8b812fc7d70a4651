"""The rules for names inside an object: of segments, of stacks, of its colours."""

import re
from dataclasses import dataclass
from typing import Any

from pydicom import Dataset

from fedvoxel.deid.label_text import plain_name
from fedvoxel.deid.subject import Subject


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


@dataclass(frozen=True)
class Renamed:
    """Keeps short numbers; another name becomes digits from the project's key, the same for the same name."""

    does: str = "kept if a number of up to three digits, else replaced by digits from the project's key"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        text = value.strip(" \0") if isinstance(value, str) else ""
        if re.fullmatch("[0-9]{1,3}", text):
            return text
        return subject.keys.uid(f"name {text}")[-12:] if text else None


@dataclass(frozen=True)
class OneValuePerPixel:
    """Keeps grey values; the colours of a label map go, its values are the segments' numbers."""

    does: str = "kept if MONOCHROME1 or 2; a label map's PALETTE COLOR becomes MONOCHROME2"

    def __call__(self, value: Any, subject: Subject, item: Dataset) -> Any:
        """See `Rule`."""
        if value == "PALETTE COLOR" and item.get("SegmentationType") == "LABELMAP":
            return "MONOCHROME2"
        return str(value) if value in ("MONOCHROME1", "MONOCHROME2") else None
