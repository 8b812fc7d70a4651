"""Writes an index of releases: publishes packages, sets their states, and fetches the newest one for a reader."""

import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.manifest import file_name
from fedvoxel.export.package import Package, open_package
from fedvoxel.export.promotion import PromotionEvidence
from fedvoxel.export.reader_gate import NO_GATE, ReaderStudyGate, check_evidence
from fedvoxel.export.release import PURPOSE, SignedStatement, State, Statement, check_may_require, version_of
from fedvoxel.export.releases import (
    INDEX,
    PACKAGES,
    Release,
    Releases,
    check_follows,
    release_of,
    required_by,
    states_of,
)
from fedvoxel.export.seen import Seen
from fedvoxel.export.signature import sign, verify
from fedvoxel.export.trust import Trust
from fedvoxel.federation.reader_study.requirement import ReaderStudyEvidence
from fedvoxel.records.atomic import copy_file, copy_public
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import FIRST, Body, Entry
from fedvoxel.records.identity import Identity


@dataclass(frozen=True)
class Said:
    """Is what is said of a package.

    Attributes:
        package: Its identity.
        name: The model's.
        version: The model's.
        state: Its state from now on.
        reason: Why.
        promotion: By what it was promoted; None where no gates were asked.
        reader_study: What stands in the index of its reader study already; None for what the publisher brings.
    """

    package: str
    name: str
    version: str
    state: State
    reason: str
    promotion: PromotionEvidence | None = None
    reader_study: ReaderStudyEvidence | None = None


@dataclass(frozen=True)
class Publisher:
    """Is who writes to an index.

    Attributes:
        folder: The index; made when the first package is published.
        identity: Who signs.
        trust: Whose signatures count.
        seen: The publisher's own memory; see `Releases`.
        gate: What the publisher brings of a reader study.
    """

    folder: Path
    identity: Identity
    trust: Trust
    seen: Path | None = None
    gate: ReaderStudyGate = NO_GATE

    def publish(self, path: Path, state: State, reason: str, now: datetime) -> Release:
        """Puts a package into the index.

        Args:
            path: The package.
            state: "candidate", or "released".
            reason: Why.
            now: The present (aware).

        Raises:
            PackageError: The package or the index cannot be trusted, or the publisher may not do that.
            ReleaseGateError: A reader study is missing or falls short.
            ConfigError: What was brought of it cannot be read.
            LedgerError: The index cannot be written.
        """
        package = open_package(path, self.trust, now)
        name, version = package.manifest.name, package.manifest.version
        said = Said(package.sha256, name, version, state, reason)
        _make_folders(self.folder)
        with Chain(self.folder / INDEX, public=True).writing() as chain:
            entry = self.entry(chain.entries, said, now)
            put(package, self.folder / PACKAGES / file_name(name, version), self.trust, now)
            chain.append(entry)
            return self.remembered(chain.entries, package.sha256, now)

    def set_state(self, name: str, version: str, state: State, reason: str, now: datetime) -> Release:
        """Sets the state of a package in the index.

        Raises:
            PackageError: It is not there, or the publisher may not do that.
            ReleaseGateError: A reader study is missing or falls short.
            ConfigError: What was brought of it cannot be read.
            LedgerError: The index cannot be written.
        """
        releases = Releases(self.folder, self.trust, self.seen, now)
        found = [one for one in releases.all if (one.name, one.version) == (name, version)]
        if not found:
            raise PackageError(f"the index has no {name} {version}; see `fedvoxel release list`")
        if state == "released":
            open_release(releases.path_of(found[0]), found[0], self.trust, now)
        said = Said(found[0].sha256, name, version, state, reason)
        with Chain(self.folder / INDEX, public=True).writing() as chain:
            chain.append(self.entry(chain.entries, said, now))
            return self.remembered(chain.entries, found[0].sha256, now)

    def entry(self, entries: Sequence[Entry], said: Said, now: datetime) -> Body:
        """Returns the body of the next entry, if it may be written.

        Args:
            entries: All that stand, read under the index's lock.
            said: What is said next.
            now: The present (aware).

        Raises:
            PackageError: The index cannot be trusted, or the publisher may not say that there.
            ReleaseGateError: A reader study is missing or falls short.
            ConfigError: What was brought of it cannot be read.
        """
        if entries:
            Seen(self.seen).remember(self.folder, entries)
        else:
            Seen(self.seen).check_is_new(self.folder)
        states = states_of(entries, self.trust, now)
        statement = self._statement(entries, said)
        signature = sign(self.identity, PURPOSE, statement.content, now)
        by = verify(signature, PURPOSE, statement.content, self.trust, now)
        check_follows(release_of(statement, signature.at, by), states)
        if statement.requires is not None:
            check_may_require(by.role, str(by))
        check_evidence(statement.state, statement.reader_study, required_by(entries) or statement.requires)
        return SignedStatement(statement=statement, signature=signature).model_dump(mode="json", exclude_none=True)

    def _statement(self, entries: Sequence[Entry], said: Said) -> Statement:
        """Returns what is said at the next place."""
        if entries and self.gate.of_every_release not in (None, required_by(entries)):
            raise PackageError("what every release requires is said when an index is begun: begin another")
        requires = None if entries else self.gate.of_every_release
        evidence = said.reader_study or self.gate.evidence(said.package, required_by(entries) or requires)
        values = {
            **vars(said),
            "schema_version": version_of(evidence, requires, said.promotion),
            "index": len(entries),
            "previous": entries[-1].hash if entries else FIRST,
            "reader_study": evidence,
            "requires": requires,
        }
        try:
            return parse_config(Statement, values, "the statement")
        except ConfigError as error:
            raise PackageError(str(error)) from None

    def remembered(self, entries: Sequence[Entry], sha256: str, now: datetime) -> Release:
        """Remembers what was written, and returns what the index says of a package now."""
        Seen(self.seen).remember(self.folder, entries)
        return states_of(entries, self.trust, now)[sha256]


def fetch(releases: Releases, name: str, version: str | None, out: Path, trust: Trust) -> Package:
    """Copies the newest released version of a model out of an index, verified.

    Args:
        releases: The index.
        name: The model.
        version: A version; the newest released one when None.
        out: Folder of the copy.
        trust: Whose signatures count.

    Raises:
        PackageError: There is none that is released, it is not the one of the index, or it cannot be written.
    """
    release = releases.newest(name, version)
    package = open_release(releases.path_of(release), release, trust)
    target = out / file_name(release.name, release.version)
    _copy(package.path, target, copy_file)
    return open_release(target, release, trust)


def open_release(path: Path, release: Release, trust: Trust, now: datetime | None = None) -> Package:
    """Opens the package of a release.

    Raises:
        PackageError: It cannot be trusted, or is another package.
    """
    package = open_package(path, trust, now)
    if package.sha256 != release.sha256:
        raise PackageError(f"{path.name} is not the package of which the index speaks; fetch it anew")
    return package


def _make_folders(index: Path) -> None:
    """Makes an index's folders where they are missing, for everybody to read, whatever the umask."""
    try:
        for folder in (index, index / PACKAGES):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o755)
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise PackageError(f"the folder of the index cannot be made ({what})") from None


def put(package: Package, target: Path, trust: Trust, now: datetime) -> None:
    """Copies a package into an index, unless it lies there.

    Raises:
        PackageError: Another one lies there, or it cannot be written.
    """
    if target.exists():
        if open_package(target, trust, now).sha256 != package.sha256:
            raise PackageError(f"another package lies in the index as {target.name}; give this one a new version")
        return
    _copy(package.path, target, copy_public)


def _copy(source: Path, target: Path, copy: Callable[[Path, Path], None]) -> None:
    try:
        copy(source, target)
    except OSError as error:
        raise PackageError(f"{target.name} cannot be written ({error.strerror or type(error).__name__})") from None
