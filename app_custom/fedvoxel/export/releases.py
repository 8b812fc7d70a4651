"""The index of releases: a folder that prediction and review consult before they use a package.

The folder holds `index.jsonl` (a chain of signed statements, see `release`), `head.json` and `packages/`. It may lie on
a share, or be copied to a hospital: readers write nothing into it. Every entry is verified by every reader, against the
root that the reader has. What no signature can show is that entries are missing at the end, such as a withdrawal; so
a reader remembers the last entry that it saw of each index, and refuses one that went backwards or was exchanged.

An index with one entry that does not hold is refused as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fedvoxel.errors import LedgerError, PackageError, ReleaseGateError
from fedvoxel.export.manifest import file_name
from fedvoxel.export.promotion import PromotionEvidence
from fedvoxel.export.reader_gate import check_evidence
from fedvoxel.export.release import (
    PURPOSE,
    SignedStatement,
    State,
    Statement,
    check_allowed,
    check_may_require,
    read_statement,
)
from fedvoxel.export.seen import Seen
from fedvoxel.export.signature import verify
from fedvoxel.export.trust import Signer, Trust
from fedvoxel.federation.reader_study.requirement import ReaderStudyEvidence, ReaderStudyRequirement
from fedvoxel.plain_file import read_plain
from fedvoxel.records.chain_entry import HEAD_FILE, Entry, check_head, entry_of, verified_entries

INDEX, PACKAGES = "index.jsonl", "packages"

_LARGEST_INDEX_BYTES = 64 * 1024**2
_TRIES = 3


@dataclass(frozen=True)
class Release:
    """Is a package and its present state.

    Attributes:
        sha256: The package's identity.
        name: The model's.
        version: The model's.
        state: As the last statement about it says.
        reason: Why.
        at: When that was signed.
        by: Who signed it.
        reader_study: What was required of a reader study, and seen; None without one.
        promotion: By what policy and reports it was promoted; None where no gates were asked.
    """

    sha256: str
    name: str
    version: str
    state: State
    reason: str
    at: datetime
    by: Signer
    reader_study: ReaderStudyEvidence | None = None
    promotion: PromotionEvidence | None = None

    @property
    def order(self) -> tuple[int, ...]:
        """Orders versions."""
        return tuple(int(part) for part in self.version.split("."))


class Releases:
    """Is what an index says now."""

    def __init__(self, folder: Path, trust: Trust, seen: Path | None = None, now: datetime | None = None) -> None:
        """Reads and verifies an index, and remembers how far it went.

        Args:
            folder: The index.
            trust: Whose signatures count.
            seen: Where to remember; a file in the user's own state folder when None.
            now: The present (aware); the clock's when None.

        Raises:
            PackageError: An entry does not hold, the index went backwards, or cannot be read or remembered.
            ConsortiumError: The revocation list is out of date.
        """
        self.folder = folder
        entries = _read(folder)
        self.statements = statements_of(entries, trust, now or datetime.now(UTC))
        """All that it says, in order: a package each time that it got a state."""
        self.requires = required_by(entries)
        """What every release of it requires of a reader study."""
        self._states = {one.sha256: one for one in self.statements}
        Seen(seen).remember(folder, entries)

    @property
    def all(self) -> tuple[Release, ...]:
        """Are all packages, by name and version."""
        return tuple(sorted(self._states.values(), key=lambda one: (one.name, one.order)))

    def state_of(self, sha256: str) -> State | None:
        """Returns a package's state; None for one that the index does not know."""
        found = self._states.get(sha256)
        return found.state if found else None

    def released(self, name: str) -> tuple[Release, ...]:
        """Returns the released versions of a model, in their order: readers get the last one."""
        return tuple(one for one in self.all if one.name == name and one.state == "released")

    def newest(self, name: str, version: str | None = None) -> Release:
        """Returns the newest released version of a model, or the one asked for.

        Raises:
            PackageError: There is none that is released.
        """
        wanted = [one for one in self.released(name) if version in (None, one.version)]
        if not wanted:
            known = ", ".join(f"{one.version} {one.state}" for one in self.all if one.name == name)
            asked = name if version is None else f"{name} {version}"
            raise PackageError(f"no release of {asked}; the index has {known or 'nothing of that name'}")
        return wanted[-1]

    def path_of(self, release: Release) -> Path:
        """Returns where a package should lie; whoever opens it must check that it is the one."""
        return self.folder / PACKAGES / file_name(release.name, release.version)

    def admit(self, sha256: str, name: str, allow_unknown: bool = False) -> str | None:
        """Says whether a package may be used.

        Args:
            sha256: Its identity.
            name: What to call it.
            allow_unknown: Whether one that the index does not know may be used.

        Returns:
            A warning; None for a released package.

        Raises:
            PackageError: It is withdrawn, or unknown and that is not allowed.
        """
        found = self._states.get(sha256)
        if found is None:
            if allow_unknown:
                return f"{name} is not in the index of releases: nobody has said that it may be used"
            raise PackageError(f"{name} is not in the index of releases; take one with `fedvoxel release fetch`")
        if found.state == "withdrawn":
            raise PackageError(f"{name} was withdrawn by {found.by} on {found.at:%Y-%m-%d}: {found.reason}")
        if found.state == "released":
            return None
        return f"{name} is {found.state}, says {found.by} on {found.at:%Y-%m-%d}: {found.reason}"


def statements_of(entries: Sequence[Entry], trust: Trust, now: datetime) -> tuple[Release, ...]:
    """Returns what some entries say, in order, having verified all of them.

    Raises:
        PackageError: One was not signed for its place by who may say so, or says what may not follow.
        ConsortiumError: The revocation list is out of date.
    """
    said, states = list[Release](), dict[str, Release]()
    for entry in entries:
        line = entry.index + 1
        try:
            signed = read_statement(entry.body, line)
            release = _release(entry, signed, trust, now)
            check_follows(release, states)
            check_evidence(release.state, release.reader_study, required_by(entries))
        except (PackageError, ReleaseGateError) as error:
            raise PackageError(f"line {line} of the index of releases does not hold: {error}") from None
        said.append(release)
        states[release.sha256] = release
    return tuple(said)


def states_of(entries: Sequence[Entry], trust: Trust, now: datetime) -> dict[str, Release]:
    """Returns what some entries say last of each package; raises what `statements_of` does."""
    return {one.sha256: one for one in statements_of(entries, trust, now)}


def required_by(entries: Sequence[Entry]) -> ReaderStudyRequirement | None:
    """Returns what every release of an index requires of a reader study, as its first entry says.

    Raises:
        PackageError: The first entry is none.
    """
    return read_statement(entries[0].body, 1).statement.requires if entries else None


def check_follows(release: Release, states: dict[str, Release]) -> None:
    """Checks that a release may follow what an index says already.

    Raises:
        PackageError: Its state may not follow, its signer may not set it, or its version is another package's.
    """
    before = states.get(release.sha256)
    if any((one.name, one.version) == (release.name, release.version) for one in states.values() if one is not before):
        raise PackageError(f"{release.name} {release.version} is another package; give this one a new version")
    if before is not None and (before.name, before.version) != (release.name, release.version):
        raise PackageError(f"that package is {before.name} {before.version}, not {release.name} {release.version}")
    check_allowed(release.state, before.state if before else None, release.by.role, str(release.by))


def _release(entry: Entry, signed: SignedStatement, trust: Trust, now: datetime) -> Release:
    said = signed.statement
    if (said.index, said.previous) != (entry.index, entry.previous):
        raise PackageError("it was signed for another place")
    by = verify(signed.signature, PURPOSE, said.content, trust, now)
    if said.requires is not None:
        check_may_require(by.role, str(by))
    return release_of(said, signed.signature.at, by)


def release_of(said: Statement, at: datetime, by: Signer) -> Release:
    """Returns what a statement says."""
    named = (said.package, said.name, said.version, said.state, said.reason)
    return Release(*named, at, by, said.reader_study, said.promotion)


def _read(folder: Path) -> list[Entry]:
    """Reads an index without its lock, which a reader may not be able to take; tries again if one was just written."""
    for attempt in range(1, _TRIES + 1):
        try:
            # The head first: an entry that is added meanwhile is then one that the head does not know yet.
            head = _bytes_of(folder / HEAD_FILE)
            entries = verified_entries(_bytes_of(folder / INDEX), INDEX)
            check_head(entries, entry_of(head.removesuffix(b"\n")), INDEX)
            return entries
        except (LedgerError, ValueError) as error:
            if attempt == _TRIES:
                raise PackageError(f"the index of releases cannot be trusted: {error}") from None
    raise AssertionError


def _bytes_of(path: Path) -> bytes:
    try:
        return read_plain(path, _LARGEST_INDEX_BYTES)
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise PackageError(f"expected an index of releases, and its {path.name} cannot be read ({what})") from None
