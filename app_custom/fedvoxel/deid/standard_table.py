"""The standard's own table of what the Basic Application Level Confidentiality Profile does to each attribute.

Taken from dicom-anonymizer, which takes it from the standard; nothing else of that package is used.
Source: DICOM PS3.15 Table E.1-1, edition 2026c.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as edition

_LISTS = {
    "D": "D_TAGS",
    "Z": "Z_TAGS",
    "X": "X_TAGS",
    "U": "U_TAGS",
    "Z/D": "Z_D_TAGS",
    "X/Z": "X_Z_TAGS",
    "X/D": "X_D_TAGS",
    "X/Z/D": "X_Z_D_TAGS",
    "X/Z/U*": "X_Z_U_STAR_TAGS",
}
_REPEATING = 4


def _actions() -> dict[int, str]:
    found: dict[int, str] = {}
    for action, name in _LISTS.items():
        tags: Sequence[Sequence[Any]] = getattr(edition, name)
        found |= {tag[0] << 16 | tag[1]: action for tag in tags if len(tag) < _REPEATING}
    return found


ACTIONS: Mapping[int, str] = _actions()
"""Tag to the profile's action: D dummy value, Z empty or dummy, X removed, U another UID; without repeating groups."""
