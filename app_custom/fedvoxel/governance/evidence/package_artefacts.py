"""The model's package, as somebody has opened it, and what the index of releases says of it.

Opening a package needs what a server does not have; so the command opens it, and hands on what it found. A package or
an index that cannot be trusted is an error there.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedvoxel.errors import PackageError
from fedvoxel.export.origin import PROVENANCE, read_model_origin
from fedvoxel.export.signature import read_object
from fedvoxel.governance.evidence.artefact import (
    Artefact,
    Entry,
    Source,
    Verdict,
    found,
    missing,
    unverified,
    verified,
)
from fedvoxel.governance.evidence.subject import Subject

MEMBERS = {
    "model_card": "docs/model_card.md",
    "sbom": "sbom.cdx.json",
    "provenance": PROVENANCE,
    "calibration": "calibration.json",
}
"""The members that are artefacts of their own, by kind; they go into the pack as they are."""


@dataclass(frozen=True)
class ReleaseFacts:
    """Is what the index of releases says of the package.

    Attributes:
        sha256: Of the index's file.
        state: The package's; None where the index does not know it.
        role: The FLARE role of who has said so last.
        at: When, ISO 8601.
    """

    sha256: str
    state: str | None
    role: str | None = None
    at: str | None = None


@dataclass(frozen=True)
class PackageFacts:
    """Is a package whose signature counts.

    Attributes:
        sha256: Its identity.
        name: The model's name and version.
        signed_by: Who has signed it, with the role.
        signed_at: When, ISO 8601.
        members: The bytes of those in `MEMBERS` that it has, by kind.
        release: What the index says; None where none was named.
    """

    sha256: str
    name: str
    signed_by: str
    signed_at: str
    members: Mapping[str, bytes]
    release: ReleaseFacts | None = None


def package_artefacts(subject: Subject, package: PackageFacts | None) -> list[Artefact]:
    """Returns the package, its members, and the index of releases."""
    if package is None:
        why = "no package was named; give it with --package"
        sources = [Source("package", "package"), *(Source(kind, f"package: {MEMBERS[kind]}") for kind in MEMBERS)]
        return [missing(source, why) for source in (*sources, _RELEASE)]
    strange = why_stranger(subject, package)
    facts = {"name": package.name, "signed_by": package.signed_by, "signed_at": package.signed_at}
    verdict = strange or verified(f"signed by {package.signed_by}, and its provenance names this run's outcome")
    whole = found(Source("package", "package: manifest.json"), package.sha256, verdict, facts)
    return [whole, *(_member(kind, package, strange) for kind in MEMBERS), _release(package, strange)]


def _card_is_whole(content: bytes) -> bool:
    """Says whether a model card has the sections for which it is taken as evidence."""
    return all(f"\n## {heading}\n".encode() in content for heading in _CARD_SECTIONS)


def _names_components(content: bytes) -> bool:
    return bool(_object(content).get("components"))


def _names_origin(content: bytes) -> bool:
    return all(_object(content).get(key) for key in ("network", "run_versions", "export_versions"))


def _object(content: bytes) -> dict[str, Any]:
    try:
        return read_object(content, "a member of the package")
    except PackageError:
        return {}


_CARD_SECTIONS = ("Intended use", "Limitations", "What it finds", "What it was made for", "How good it is")
_SAYS_ENOUGH = {"model_card": _card_is_whole, "sbom": _names_components, "provenance": _names_origin}
"""By kind of member: whether it says that for which it is taken as evidence."""

_RELEASE = Source("release", "index of releases: index.jsonl")


def why_stranger(subject: Subject, package: PackageFacts) -> Verdict | None:
    """Returns why the package is not this run's, or None."""
    try:
        origin = read_model_origin(package.members.get("provenance", b""))
        outcome = _object(package.members["provenance"])["origin"]["outcome_sha256"]
    except (PackageError, KeyError):
        return unverified("the package does not say which run it is of")
    run = subject.outcome
    models = {one.sha256 for one in (run.model, run.best_model) if one}
    if outcome != subject.outcome_sha256 or origin.model_sha256 not in models or origin.job_id != run.job_id:
        return unverified("the package is of another run, or of another state of this one")
    return None


def _member(kind: str, package: PackageFacts, strange: Verdict | None) -> Artefact:
    source, content = Source(kind, f"package: {MEMBERS[kind]}"), package.members.get(kind)
    if content is None:
        return missing(source, "the package has none")
    verdict = strange or verified("the package's signed manifest names this hash")
    shows = (kind,) if _SAYS_ENOUGH.get(kind, bool)(content) else ("package",)
    made = found(source, hashlib.sha256(content).hexdigest(), verdict, None, *shows)
    place = f"package/{MEMBERS[kind].rpartition('/')[2]}"
    return Artefact(Entry.model_validate({**made.entry.model_dump(), "file": place}), copy=content)


def _release(package: PackageFacts, strange: Verdict | None) -> Artefact:
    release = package.release
    if release is None:
        return missing(_RELEASE, "no index of releases was named; give it with --releases")
    facts: dict[str, Any] = {"package": package.sha256, "state": release.state, "role": release.role, "at": release.at}
    if release.state is None:
        return found(
            _RELEASE, release.sha256, unverified("every entry is signed, and none is about this package"), facts
        )
    shows = ["release", "released" if release.state == "released" else ""]
    verdict = strange or verified(f"every entry's signature counts; this package is {release.state}")
    return found(_RELEASE, release.sha256, verdict, facts, *filter(None, shows))
