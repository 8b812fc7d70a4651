"""The patients whom a hospital has taken out of all its cohorts, and the one way to list a cohort's cases without them.

A patient who objects is out of every cohort that is built, trained on, scored, counted or shown from then on. The list
is a chain in the site's `state/exclusions/`, by pseudonym and never by name; `local/fedvoxel_exclusions.json` says how
long it was when it last grew, so that a list that is lost or cut is noticed: then no case of any cohort can be used.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from fedvoxel.config import FrozenModel, load_json_config, parse_config
from fedvoxel.errors import CohortError, ConfigError, DiskFullError, LedgerError
from fedvoxel.plain_file import read_plain
from fedvoxel.records.atomic import is_disk_full, write_json
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import Entry
from fedvoxel.records.names import Sha256
from fedvoxel.volumes.known_patient import names_of
from fedvoxel.volumes.layouts import CaseFiles, list_cases
from fedvoxel.volumes.site import CohortConfig, SiteConfig

ANCHOR_FILE = "fedvoxel_exclusions.json"
"""Says in the kit's `local/` folder how long the list is."""

_LONGEST_REASON = 1000
_NOT_TRUSTED = (
    "the list of excluded patients cannot be trusted, so no case is used: put the newest state/exclusions/ back "
    "(the site's own log says what is wrong)"
)
_logger = logging.getLogger(__name__)


class _Anchor(FrozenModel):
    schema_version: Literal[1] = 1
    entries: int = Field(ge=1)
    head: Sha256


class _Line(FrozenModel):
    """Is what one entry says.

    Attributes:
        patients: Pseudonyms under which the site knows one patient.
        key_check: Tells the site's key, under which they are named, from another.
        reason: Why somebody is back in; empty for an exclusion.
    """

    kind: Literal["excluded", "readmitted"]
    patients: tuple[str, ...] = Field(min_length=1)
    key_check: str
    reason: str = ""


@dataclass(frozen=True)
class Change:
    """Is one line of the list: when, who by pseudonym, in which direction, and why where somebody is back in."""

    at: str
    kind: Literal["excluded", "readmitted"]
    patients: tuple[str, ...]
    reason: str


class Exclusions:
    """Is the list of one site."""

    def __init__(self, site: SiteConfig, base: Path) -> None:
        """Touches no file.

        Args:
            site: The site's own file.
            base: The folder that it lies in: a kit's `local/`.
        """
        self._site, self._anchor = site, base / ANCHOR_FILE
        self._chain = Chain(base.resolve().parent / "state" / "exclusions" / "exclusions.jsonl")

    def patients(self) -> frozenset[str]:
        """Returns the pseudonyms of everybody who is out now.

        Raises:
            CohortError: The list cannot be trusted, so that nobody can tell.
        """
        out: frozenset[str] = frozenset()
        for change in self.changes():
            out = out | set(change.patients) if change.kind == "excluded" else out - set(change.patients)
        return out

    def changes(self) -> tuple[Change, ...]:
        """Returns all lines of the list, in order.

        Raises:
            CohortError: The list cannot be trusted.
        """
        try:
            entries = self._chain.read()
            self._check_anchor(entries)
            lines = [(entry, parse_config(_Line, entry.body, "a line of it")) for entry in entries]
        except (LedgerError, ConfigError) as problem:
            # How many have objected is nobody's outside of the hospital, and the error may leave.
            _logger.error("event=exclusions_not_trusted reason=%s", problem)
            raise CohortError(_NOT_TRUSTED) from None
        if any(line.key_check != self._site.key_check for _, line in lines):
            raise CohortError(
                "the list of excluded patients was written under another pseudonym_key than the site's file has, so no "
                "case is used: give the site its former key back"
            )
        return tuple(Change(entry.at, line.kind, line.patients, line.reason) for entry, line in lines)

    def exclude(self, patients: Iterable[str]) -> bool:
        """Takes a patient out; says whether anything changed, be it only that an earlier change is now noted.

        Args:
            patients: Every pseudonym under which the site knows the patient.

        Raises:
            CohortError: The list cannot be trusted.
            LedgerError: It cannot be written.
        """
        new = sorted(set(patients) - self.patients())
        if new:
            self._write("excluded", new, "")
        return bool(new) or self._note_again()

    def readmit(self, patients: Iterable[str], reason: str) -> bool:
        """Takes a patient back in, for a reason that stays on the list; says whether anything changed.

        Raises:
            CohortError: The list cannot be trusted, or there is no reason.
            LedgerError: It cannot be written.
        """
        if not 0 < len(reason.strip()) <= _LONGEST_REASON:
            raise CohortError(
                "a patient who objected is taken back in for a reason only: say it with --reason, in at most "
                f"{_LONGEST_REASON} characters"
            )
        back = sorted(set(patients) & self.patients())
        if back:
            self._write("readmitted", back, reason.strip())
        return bool(back) or self._note_again()

    def _write(self, kind: Literal["excluded", "readmitted"], patients: list[str], reason: str) -> None:
        line = _Line(kind=kind, patients=tuple(patients), key_check=self._site.key_check, reason=reason)
        self._note(self._chain.append(line.model_dump(mode="json")))

    def _note_again(self) -> bool:
        """Writes the note that a power cut or a full disk has kept from the last line; says whether it had.

        Until it is written, who holds cases loaded does not see that the list has changed.
        """
        entries = self._chain.read()
        if not entries or (self._anchor.exists() and self._anchored().entries == len(entries)):
            return False
        self._note(entries[-1])
        return True

    def _note(self, last: Entry) -> None:
        note = _Anchor(entries=last.index + 1, head=last.hash).model_dump(mode="json")
        try:
            write_json(self._anchor, note, mode=0o600)
        except OSError as problem:
            kind = DiskFullError if is_disk_full(problem) else LedgerError
            raise kind(
                f"the list has changed, but local/{ANCHOR_FILE} cannot be written ({problem.strerror}), so that a "
                "running task does not see it: make room, and give the same command again"
            ) from None

    def _check_anchor(self, entries: list[Entry]) -> None:
        if not self._anchor.exists():
            return
        anchor = self._anchored()
        if len(entries) < anchor.entries or entries[anchor.entries - 1].hash != anchor.head:
            raise LedgerError(
                f"local/{ANCHOR_FILE} knows {anchor.entries} entries, and state/exclusions/ has {len(entries)} or "
                "others; put the newest copy of that folder back"
            )

    def _anchored(self) -> _Anchor:
        return load_json_config(_Anchor, self._anchor, "the note of how long it is")


def list_mark(base: Path) -> bytes:
    """Returns what is different whenever the list has changed; empty as long as nobody was ever excluded.

    Raises:
        CohortError: It cannot be read.
    """
    try:
        return read_plain(base / ANCHOR_FILE)
    except FileNotFoundError:
        return b""
    except OSError as problem:
        raise CohortError(f"local/{ANCHOR_FILE} cannot be read ({problem.strerror}), so no case is used") from None


def admitted_cases(site: SiteConfig, cohort: CohortConfig, base: Path) -> tuple[CaseFiles, ...]:
    """Lists a cohort's cases without those of patients who are out; see `list_cases`.

    Args:
        site: The site's own file.
        cohort: One of its cohorts.
        base: The folder that relative paths in the site's file count from.

    Raises:
        CohortError: The list of cases cannot be used, or that of excluded patients cannot be trusted.
    """
    out = Exclusions(site, base).patients()
    return tuple(files for files in list_cases(cohort, base) if not (out and names_of(site, files) & out))
