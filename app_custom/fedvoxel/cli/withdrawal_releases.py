"""The index of releases, as far as a site's withdrawal is about it: which packages hold its updates."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fedvoxel.errors import PackageError

if TYPE_CHECKING:
    from fedvoxel.export.origin import ModelOrigin
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

    def withdraw(self, found: "Findings", identity: "Identity", reason: str, now: datetime) -> "WithdrawnReleases":
        """Withdraws what holds updates of the site, and returns what a certificate says of the index.

        Raises:
            PackageError: The index cannot be trusted or written, or the signer may not do that.
        """
        from fedvoxel.export.publishing import Publisher
        from fedvoxel.export.signature import moment
        from fedvoxel.governance.withdrawal_certificate import WithdrawnRelease
        from fedvoxel.governance.withdrawal_issue import Releases as WithdrawnReleases

        if self.folder is None:
            return WithdrawnReleases()
        publisher, done, unclear = Publisher(self.folder, identity, self.trust, self.seen), [], []
        for one in self.judged(found):
            release = one.release
            if one.verdict == "unclear" and release.state != "withdrawn":
                unclear.append(f"{release.name} {release.version}: {one.why}")
            if one.verdict != "contains":
                continue
            if release.state != "withdrawn":
                release = publisher.set_state(release.name, release.version, "withdrawn", reason, now)
            named = {"name": release.name, "version": release.version, "package": release.sha256}
            said = {"withdrawn": moment(release.at), "reason": release.reason}
            done.append(WithdrawnRelease.model_validate(named | said))
        return WithdrawnReleases(tuple(done), tuple(unclear))


def _origin(index: "Releases", release: "Release", trust: "Trust") -> "ModelOrigin | None":
    """Returns what a release's package says of its origin; None where it is not there, or says nothing."""
    from fedvoxel.export.origin import PROVENANCE, read_model_origin
    from fedvoxel.export.publishing import open_release

    try:
        package = open_release(index.path_of(release), release, trust)
        return read_model_origin(package.member(PROVENANCE))
    except PackageError:
        return None
