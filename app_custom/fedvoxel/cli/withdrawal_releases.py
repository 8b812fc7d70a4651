"""The index of releases, as far as a site's withdrawal is about it: which packages hold its updates."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fedvoxel.config import parse_config
from fedvoxel.errors import PackageError

if TYPE_CHECKING:
    from fedvoxel.export.origin import ModelOrigin
    from fedvoxel.export.package import Package
    from fedvoxel.export.releases import Release, Releases
    from fedvoxel.export.trust import Trust
    from fedvoxel.governance.withdrawal import Findings
    from fedvoxel.governance.withdrawal_issue import Releases as WithdrawnReleases
    from fedvoxel.governance.withdrawal_releases import Verdict
    from fedvoxel.records.identity import Identity


@dataclass(frozen=True)
class Judged:
    """Is a release and whether its model holds updates of the site.

    Attributes:
        verdict: Whether it does.
        why: By what that is known.
    """

    release: "Release"
    verdict: "Verdict"
    why: str


@dataclass(frozen=True)
class Index:
    """Is the index that was named, if any."""

    folder: Path | None
    trust: "Trust"
    seen: Path | None

    def judged(self, found: "Findings") -> tuple[Judged, ...]:
        """Returns every release, judged; none without an index.

        Raises:
            PackageError: The index cannot be trusted.
            ConsortiumError: The revocation list is out of date.
        """
        from fedvoxel.export.releases import Releases
        from fedvoxel.governance.withdrawal_releases import verdict_on

        if self.folder is None:
            return ()
        index = Releases(self.folder, self.trust, self.seen)
        return tuple(Judged(one, *verdict_on(_origin(index, one, self.trust), found)) for one in index.all)

    def planned(self, judged: "Sequence[Judged]", reason: str, now: datetime) -> "WithdrawnReleases":
        """Returns what a certificate says of the index once `withdraw` has withdrawn what it names.

        Args:
            judged: The releases, judged.
            reason: Why those are withdrawn that are not yet.
            now: When they are.

        Raises:
            ConfigError: The reason is empty or too long.
        """
        from fedvoxel.export.signature import moment
        from fedvoxel.governance.withdrawal_certificate import WithdrawnRelease
        from fedvoxel.governance.withdrawal_issue import Releases as WithdrawnReleases

        if self.folder is None:
            return WithdrawnReleases()
        done, unclear = [], []
        for one in judged:
            release = one.release
            before = release.state == "withdrawn"
            if one.verdict == "unclear" and not before:
                unclear.append(f"{release.name} {release.version}: {one.why}")
            if one.verdict == "contains":
                named = {"name": release.name, "version": release.version, "package": release.sha256}
                said = {"withdrawn": moment(release.at if before else now)}
                said["reason"] = release.reason if before else reason
                done.append(parse_config(WithdrawnRelease, named | said, "the withdrawal of a release"))
        return WithdrawnReleases(tuple(done), tuple(unclear))

    def withdraw(self, judged: "Sequence[Judged]", identity: "Identity", reason: str, now: datetime) -> None:
        """Withdraws what holds updates of the site and is not withdrawn yet; that cannot be taken back.

        Raises:
            PackageError: The index cannot be trusted, or the signer may not do that.
            LedgerError: The index cannot be written.
        """
        from fedvoxel.export.publishing import Publisher

        for one in judged:
            release = one.release
            if self.folder and one.verdict == "contains" and release.state != "withdrawn":
                publisher = Publisher(self.folder, identity, self.trust, self.seen)
                publisher.set_state(release.name, release.version, "withdrawn", reason, now)


def check_run_is_not_withdrawn(package: Path, folder: Path, trust: "Trust", seen: Path | None, now: datetime) -> None:
    """Checks that no release of the run that a package is of, or of the model that this began with, is withdrawn.

    A certificate of withdrawal lists what was in the index when it was signed; what comes after it must not hold the
    site again. Where a withdrawn package of that name is gone or cannot be trusted, nobody can say whether it is of the
    same run. Nothing is known of a package that names no run; only the model that a run itself began with is looked at.

    Args:
        package: The package that is to be published.
        folder: The index, which need not be there yet.
        trust: Whose signatures count.
        seen: Where to remember what was seen of the index.
        now: The present (aware).

    Raises:
        PackageError: One is, or may be; or the package or the index cannot be trusted.
    """
    from fedvoxel.export.package import open_package
    from fedvoxel.export.releases import INDEX, Releases

    opened = open_package(package, trust, now)
    new = _origin_of(opened)
    if new is None or not (folder / INDEX).is_file():
        return
    index = Releases(folder, trust, seen, now)
    for release in index.all:
        old = _withdrawn_origin(index, release, trust, opened.manifest.name) if release.state == "withdrawn" else None
        if old is not None and (old.run_key == new.run_key or old.model_sha256 in (new.model_sha256, new.start_sha256)):
            raise PackageError(
                f"{release.name} {release.version}, of run {old.run_key}, was withdrawn on {release.at:%Y-%m-%d}: "
                f"{release.reason}. This package is of that run, or began with its model. Where a hospital has left, "
                "it holds the hospital too and is not to be published; else publish it with --despite-withdrawn"
            )


def _withdrawn_origin(index: "Releases", release: "Release", trust: "Trust", name: str) -> "ModelOrigin | None":
    """Returns what a withdrawn package says of its origin; None where it says nothing, or has another name and is gone.

    Raises:
        PackageError: It has the name of what is to be published, and cannot be read.
    """
    from fedvoxel.export.publishing import open_release

    try:
        return _origin_of(open_release(index.path_of(release), release, trust))
    except PackageError as problem:
        if release.name != name:
            return None
        raise PackageError(
            f"{release.name} {release.version} is withdrawn, and its package cannot be read, so that nobody can say "
            f"whether this one is of the same run ({problem}): put that package back, or publish with "
            "--despite-withdrawn if you know that it is of another"
        ) from None


def _origin(index: "Releases", release: "Release", trust: "Trust") -> "ModelOrigin | None":
    """Returns what a release's package says of its origin; None where it is not there, or says nothing."""
    from fedvoxel.export.publishing import open_release

    try:
        return _origin_of(open_release(index.path_of(release), release, trust))
    except PackageError:
        return None


def _origin_of(package: "Package") -> "ModelOrigin | None":
    from fedvoxel.export.origin import PROVENANCE, read_model_origin

    try:
        return read_model_origin(package.member(PROVENANCE))
    except PackageError:
        return None
