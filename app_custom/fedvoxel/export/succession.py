"""One released version in the place of another: a promotion, and the way back.

Each writes two entries, one after the other, under the index's lock. Whether both may be written is tried before the
first is. A crash between them leaves a promotion with both versions released, and a rollback with none: never the one
that was to be stopped. Giving the rollback again ends it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from fedvoxel.errors import PackageError
from fedvoxel.export.manifest import file_name
from fedvoxel.export.package import Package
from fedvoxel.export.promotion import PromotionEvidence
from fedvoxel.export.publishing import Publisher, Said, open_release, put
from fedvoxel.export.reader_gate import NO_GATE
from fedvoxel.export.release import State
from fedvoxel.export.releases import INDEX, PACKAGES, Release, Releases, statements_of, states_of
from fedvoxel.federation.reader_study.requirement import ReaderStudyEvidence
from fedvoxel.records.chain import Chain


@dataclass(frozen=True)
class Rollback:
    """Is what a rollback came to.

    Attributes:
        ended: What was released before, as the index says now.
        released: What is released now.
    """

    ended: Release
    released: Release


def promote(
    publisher: Publisher, package: Package, evidence: PromotionEvidence, reason: str, now: datetime
) -> tuple[Release, ...]:
    """Releases a package, and supersedes all versions of its model that are released.

    Args:
        publisher: Who writes.
        package: What is released; it may be in the index already.
        evidence: By what; its `against` must still be what readers get.
        reason: Why.
        now: The present (aware).

    Returns:
        The package's release first, then those that are superseded.

    Raises:
        PackageError: The index cannot be trusted, has another release by now, or the publisher may not do that.
        ReleaseGateError: A reader study is missing or falls short.
        ConfigError: What was brought of it cannot be read.
        LedgerError: The index cannot be written.
    """
    name, version = package.manifest.name, package.manifest.version
    with Chain(publisher.folder / INDEX, public=True).writing() as chain:
        before = _released(states_of(chain.entries, publisher.trust, now).values(), name)
        if (before[-1].sha256 if before else None) != evidence.against:
            raise PackageError("another version was released or ended meanwhile; compare with that one")
        new = publisher.entry(
            chain.entries, Said(package.sha256, name, version, "released", reason, promotion=evidence), now
        )
        put(package, publisher.folder / PACKAGES / file_name(name, version), publisher.trust, now)
        chain.append(new)
        why = f"superseded by {version}"
        plain = replace(publisher, gate=NO_GATE)
        for one in before:
            chain.append(plain.entry(chain.entries, _said(one, "superseded", why), now))
        changed = (package.sha256, *(one.sha256 for one in before))
        return tuple(publisher.remembered(chain.entries, one, now) for one in changed)


def roll_back(publisher: Publisher, name: str, reason: str, now: datetime, end: State = "withdrawn") -> Rollback:
    """Ends the version of a model that readers get, and releases the one before it again.

    Where none is released, since somebody has ended it or a rollback was interrupted, the one before is released.

    Args:
        publisher: Who writes.
        name: The model.
        reason: Why; both entries say it.
        now: The present (aware).
        end: "withdrawn", or "superseded" where it is not unsafe.

    Raises:
        PackageError: No earlier version can be released, the index or that version cannot be trusted, or the publisher
            may not do that; nothing was written.
        ReleaseGateError: The earlier version lacks the reader study that the index requires.
        LedgerError: The index cannot be written.
    """
    publisher = replace(publisher, gate=NO_GATE)
    # Refuses what is no index, before anything is made for one.
    Releases(publisher.folder, publisher.trust, publisher.seen, now)
    with Chain(publisher.folder / INDEX, public=True).writing() as chain:
        present, back = _pair(statements_of(chain.entries, publisher.trust, now), name)
        path = publisher.folder / PACKAGES / file_name(back.name, back.version)
        try:
            open_release(path, back, publisher.trust, now)
        except PackageError as problem:
            raise PackageError(
                f"{back.name} {back.version} cannot be released again ({problem}); put its package back, or stop the "
                "present one alone with `fedvoxel release set withdrawn`"
            ) from None
        again = _said(back, "released", reason, back.reader_study)
        if back.state != "released":
            publisher.entry(chain.entries, again, now)
        if present.state == "released":
            chain.append(publisher.entry(chain.entries, _said(present, end, reason), now))
        if back.state != "released":
            chain.append(publisher.entry(chain.entries, again, now))
        ended, released = (publisher.remembered(chain.entries, one.sha256, now) for one in (present, back))
        return Rollback(ended, released)


def _pair(statements: Sequence[Release], name: str) -> tuple[Release, Release]:
    """Returns the version that readers get, or got last, and the one that they are to get in its place."""
    own = [one for one in statements if one.name == name]
    states = {one.sha256: one for one in own}
    released = _released(states.values(), name)
    if len(released) > 1:
        return released[-1], released[-2]
    order = list(dict.fromkeys(one.sha256 for one in own if one.state == "released"))
    if not order:
        raise PackageError(f"no version of {name} was ever released here; see `fedvoxel release list`")
    present = released[0] if released else states[_last_ended(own)]
    earlier = [states[one] for one in order[: order.index(present.sha256)] if states[one].state == "superseded"]
    if not earlier:
        raise PackageError(
            f"the index has no version of {name} that was released before {present.version} and not withdrawn; stop "
            "the present one with `fedvoxel release set withdrawn`, and promote or publish another"
        )
    # What was seen of its reader study stands in the entry that released it.
    study = [one.reader_study for one in own if one.sha256 == earlier[-1].sha256 and one.state == "released"][-1]
    return present, replace(earlier[-1], reader_study=study)


def _last_ended(own: Sequence[Release]) -> str:
    """Returns the identity of the version that was released last and is no more."""
    states, ended = dict[str, str](), ""
    for one in own:
        if states.get(one.sha256) == "released":
            ended = one.sha256
        states[one.sha256] = one.state
    return ended


def _released(releases: Iterable[Release], name: str) -> tuple[Release, ...]:
    """Returns the released versions of a model; readers get the last."""
    found = [one for one in releases if one.name == name and one.state == "released"]
    return tuple(sorted(found, key=lambda one: one.order))


def _said(release: Release, state: State, reason: str, study: ReaderStudyEvidence | None = None) -> Said:
    named = (release.sha256, release.name, release.version)
    return Said(*named, state, reason, reader_study=study)
