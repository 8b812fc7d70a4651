"""Remembers what was built of which source under which settings, so that a second run does only what is left.

One small file for each case, written after the case's files are in place, and one for each study of a PACS whose series
need not be pulled again. Sources are remembered as keyed hashes: nothing here can be turned back into a UID.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError

from fedvoxel.config import FrozenModel
from fedvoxel.plain_file import read_plain
from fedvoxel.records.atomic import write_json
from fedvoxel.volumes.cohort.folder import JOURNAL
from fedvoxel.volumes.cohort.manifest import CaseName, FileHashes, ReasonName, Sha256

_OWNER_ONLY = 0o600
_NAME = re.compile(r"case-[0-9a-f]{12}")


class JournalCase(FrozenModel):
    """Is what became of one case.

    Attributes:
        built_as: The hash of all that it was made of: source, settings and, for a refusal, bounds.
        sha256: The hashes of its files; None for a refusal, which has a reason and a message instead.
    """

    schema_version: Literal[1] = 1
    case: CaseName
    patient: CaseName
    built_as: Sha256
    sha256: FileHashes | None = None
    reason: ReasonName | None = None
    message: Annotated[str, Field(max_length=500)] = ""


class JournalStudy(FrozenModel):
    """Is what was found in one study at a PACS.

    Attributes:
        found_as: The hash of what the PACS listed, and of what was looked for in it.
        cases: Its cases.
        files_refused: How many of its files were not taken into any series, by reason.
    """

    schema_version: Literal[1] = 1
    found_as: Sha256
    cases: tuple[CaseName, ...]
    files_refused: dict[ReasonName, Annotated[int, Field(ge=1)]]


EntryT = TypeVar("EntryT", JournalCase, JournalStudy)


class Journal:
    """Is the journal in a cohort's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / JOURNAL

    def case(self, name: str) -> JournalCase | None:
        """Returns what became of a case, or None if that is not known."""
        return _read(self._folder / f"{name}.json", JournalCase)

    def study(self, name: str) -> JournalStudy | None:
        """Returns what was found in a study, or None if that is not known."""
        return _read(self._folder / f"study-{name}.json", JournalStudy)

    def write_case(self, entry: JournalCase) -> None:
        """Says that a case is done.

        Raises:
            OSError: The disk is full or not writable.
        """
        write_json(self._folder / f"{entry.case}.json", entry.model_dump(), _OWNER_ONLY)

    def write_study(self, name: str, entry: JournalStudy) -> None:
        """Says what is in a study.

        Raises:
            OSError: The disk is full or not writable.
        """
        write_json(self._folder / f"study-{name}.json", entry.model_dump(), _OWNER_ONLY)

    def cases(self) -> tuple[str, ...]:
        """Returns the names of the cases that something is known of."""
        return tuple(sorted(path.stem for path in self._folder.glob("case-*.json") if _NAME.fullmatch(path.stem)))

    def keep(self, cases: Iterable[str], studies: Iterable[str]) -> None:
        """Forgets everything but these."""
        wanted = {f"{case}.json" for case in cases} | {f"study-{study}.json" for study in studies}
        for path in self._folder.iterdir():
            if path.name not in wanted:
                path.unlink()


def keyed_hash(key: str, *parts: object) -> str:
    """Returns HMAC-SHA256 of `parts` as JSON, in hexadecimal.

    Args:
        key: The site's key, 64 hexadecimal digits.
        parts: JSON values.

    Source: RFC 2104.
    """
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hmac.new(bytes.fromhex(key), text.encode(), hashlib.sha256).hexdigest()


def _read(path: Path, model: type[EntryT]) -> EntryT | None:
    try:
        return model.model_validate_json(read_plain(path))
    except (OSError, ValidationError):
        return None
