"""One artefact of a run: what it is, where it was found, its hash, whether that could be checked, and what it says.

What an artefact says is written into the pack as its statement: numbers about enough cases, hashes, and sites by
pseudonym. The artefact itself stays where it is, but for the members of a package, which are pseudonymous already.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from fedvoxel.config import FrozenModel
from fedvoxel.records.names import Sha256

Check = Literal["verified", "unverified", "missing"]
"""Whether the artefact was found, and whether something that somebody signed, or a chain, says that it is the one."""

KINDS: dict[str, str] = {
    "outcome": "the run's outcome",
    "model": "a model of the run",
    "job": "the job's files",
    "server_audit_log": "the server's audit log",
    "server_policy": "the server's policy",
    "server_ledger": "the server's privacy ledger",
    "incidents": "the server's record of incidents",
    "site_audit_log": "a hospital's audit log",
    "site_policy": "a hospital's policy",
    "privacy_policy": "a hospital's privacy policy",
    "privacy_ledger": "a hospital's privacy ledger",
    "approvals": "a hospital's record of approvals",
    "package": "the package",
    "model_card": "the package's model card",
    "sbom": "the package's bill of materials",
    "provenance": "the package's provenance",
    "calibration": "the package's calibration",
    "release": "the index of releases",
    "cohort_statistics": "the cohort statistics",
    "cross_site": "the cross-site evaluation",
    "reader_study": "the reader study",
    "results_report": "the report of the results",
    "privacy_audit": "the privacy audit",
    "evaluation": "an evaluation that may be shared",
    "drift": "a look at the model in use",
    "human_input": "what people have stated",
}
"""Every kind of artefact, in the order in which they are listed, and what it is called."""

Kind = Annotated[str, StringConstraints(pattern=f"^({'|'.join(KINDS)})$")]
Place = Annotated[
    str, StringConstraints(pattern=r"^(artefacts|package)/[A-Za-z0-9_][A-Za-z0-9_.-]{0,150}$|^human_input\.yml$")
]
Line = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Entry(FrozenModel):
    """Is an artefact in the inventory.

    Attributes:
        site: The hospital's pseudonym; empty where it is nobody's in particular.
        source: Where it was found: in the run, a kit, the package, or a result, and the place in that.
        sha256: Of its bytes; for a policy and a job, the hash by which audit logs name them; None where it is missing.
        said: What was checked and how that ended, or why nothing is there.
        shows: What it can support, by the names of the map; nothing where it is missing.
        file: Its statement, or its copy, in the pack; None where it is missing.
    """

    kind: Kind
    site: str = ""
    source: Line
    sha256: Sha256 | None
    check: Check
    said: Line
    shows: tuple[str, ...] = ()
    file: Place | None = None


class Inventory(FrozenModel):
    """Is the content of `artefacts.json`.

    Attributes:
        sites: Pseudonyms of the run's hospitals.
        note: What a reader must know of this list.
    """

    schema_version: Literal[1] = 1
    run_key: str
    job_id: str
    sites: tuple[str, ...]
    note: str = (
        "Hospitals go by pseudonym. Unverified: found, and nothing at hand that was signed or chained says that it is "
        "the one. Missing: not found, and nothing is said in its place."
    )
    artefacts: Annotated[tuple[Entry, ...], Field(max_length=20_000)]


@dataclass(frozen=True)
class Source:
    """Is where an artefact was looked for.

    Attributes:
        kind: What it would be.
        place: In words, without a path of the machine.
        site: The hospital's pseudonym.
        part: What tells it from others of its kind and hospital.
    """

    kind: str
    place: str
    site: str = ""
    part: str = ""

    @property
    def file(self) -> str:
        """Is where its statement goes in the pack."""
        return "artefacts/" + "_".join(filter(None, (self.kind, self.site, self.part))) + ".json"


@dataclass(frozen=True)
class Verdict:
    """Is what came of checking an artefact."""

    check: Check
    said: str


def verified(said: str) -> Verdict:
    """Returns that an artefact is the one, and by what that is known."""
    return Verdict("verified", said)


def unverified(said: str) -> Verdict:
    """Returns that nobody can say whether an artefact is the one, and why."""
    return Verdict("unverified", said)


@dataclass(frozen=True)
class Artefact:
    """Is an artefact with what it says.

    Attributes:
        facts: Its statement's content, JSON values.
        copy: Its bytes, where they go into the pack as they are.
    """

    entry: Entry
    facts: Mapping[str, Any] = field(default_factory=dict)
    copy: bytes | None = None

    @property
    def counts(self) -> bool:
        """Says whether it was verified."""
        return self.entry.check == "verified"

    @property
    def statement(self) -> dict[str, Any]:
        """Is what the pack says of it."""
        said = {name: getattr(self.entry, name) for name in ("kind", "site", "source", "sha256")}
        return {**said, "facts": dict(self.facts)}


def found(
    source: Source, sha256: str, verdict: Verdict, facts: Mapping[str, Any] | None = None, *shows: str
) -> Artefact:
    """Returns an artefact that is there.

    Args:
        source: What and where.
        sha256: Its hash.
        verdict: What came of checking it.
        facts: What it says.
        shows: What it can support; its kind where nothing is named.
    """
    entry = Entry(
        kind=source.kind,
        site=source.site,
        source=source.place,
        sha256=sha256,
        check=verdict.check,
        said=verdict.said[:500],
        shows=shows or (source.kind,),
        file=source.file,
    )
    return Artefact(entry, facts or {})


def missing(source: Source, why: str) -> Artefact:
    """Returns that an artefact is not there, and why, or how it is given."""
    return Artefact(
        Entry(kind=source.kind, site=source.site, source=source.place, sha256=None, check="missing", said=why)
    )
