"""Which releases understand one another: what a participant speaks is told on joining, and a pure rule decides.

Each kind of message has a version of its own, so that a change to reader studies stops no training. A release reads
its own version of a kind and the one before, and a pair is compatible for a kind where the two have a version in
common. The package's own version is told for people: it names the release in reasons and records, and decides nothing.

A participant that tells nothing runs the release before versions were told (`SILENT`). The record's form is what all
releases must agree on: keys may be added to it, and what a reader does not know it passes over.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from fedvoxel import __version__
from fedvoxel.config import FrozenModel

MessageKind = Literal["rounds", "secure_aggregation", "statistics", "calibration", "reader_study", "drift_watch"]
"""What server and sites say to one another: a round's tasks and the scores around it, and five kinds beside them."""

_Kind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,39}$")]
_Package = Annotated[str, StringConstraints(pattern=r"^[0-9][0-9A-Za-z.+!-]{0,39}$")]


class Spoken(FrozenModel):
    """Is the range of versions of one kind of message that a release reads and writes."""

    oldest: int = Field(ge=1, le=10_000)
    newest: int = Field(ge=1, le=10_000)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.oldest > self.newest:
            raise ValueError(f"oldest {self.oldest} is above newest {self.newest}")
        return self

    def __str__(self) -> str:
        return f"{self.newest}" if self.oldest == self.newest else f"{self.oldest} to {self.newest}"


class VersionRecord(FrozenModel):
    """Is what a participant tells of itself on joining.

    Attributes:
        package: Version of FedVoxel that it runs.
        speaks: The versions of each kind of message that it knows; others may know more kinds.
    """

    package: _Package
    speaks: dict[_Kind, Spoken] = Field(max_length=50)


SPOKEN: Mapping[str, Spoken] = {
    "rounds": Spoken(oldest=1, newest=1),
    "secure_aggregation": Spoken(oldest=1, newest=1),
    "statistics": Spoken(oldest=1, newest=1),
    "calibration": Spoken(oldest=1, newest=1),
    "reader_study": Spoken(oldest=1, newest=1),
    "drift_watch": Spoken(oldest=1, newest=1),
}
"""What this release speaks. A change that the release before would misread raises `newest`; what raises `oldest` above
that release's `newest` (see `BEFORE`) ends its support, and a test refuses it."""

SILENT = VersionRecord(package="0.1.0", speaks={kind: Spoken(oldest=1, newest=1) for kind in SPOKEN})
"""Whoever tells nothing: versions are told since 0.2.0."""

BEFORE = SILENT
"""The release before this one, which stays supported until the next."""


def own_record() -> VersionRecord:
    """Returns what this participant tells of itself."""
    return VersionRecord(package=__version__, speaks=dict(SPOKEN))


def read_record(told: Any) -> VersionRecord | None:
    """Returns what another participant has told of itself; None where it cannot be read.

    Args:
        told: JSON values; None for one who told nothing.
    """
    if told is None:
        return SILENT
    try:
        known = {name: told[name] for name in VersionRecord.model_fields}
        return VersionRecord.model_validate(known)
    except (ValidationError, TypeError, KeyError):
        return None


def why_declined(kind: MessageKind, peer: str, told: Any) -> str | None:
    """Returns why this participant does not work with another on a kind of message; None where it does.

    Args:
        kind: What they would say to one another.
        peer: What the other is called, for the reason.
        told: What the other has told of itself, as it came.
    """
    own, other = own_record(), read_record(told)
    if other is None:
        return f"declined: what {peer} tells of its versions cannot be read; install release {own.package} there"
    spoken, here = other.speaks.get(kind), own.speaks[kind]
    if spoken is not None and spoken.oldest <= here.newest and here.oldest <= spoken.newest:
        return None
    theirs = f"version {spoken}" if spoken else "no version"
    behind = spoken is None or spoken.newest < here.oldest
    cure = f"update {peer}" if behind else f"update this side, or put {peer} back to the release before"
    return (
        f"declined: {peer} runs FedVoxel {other.package}, which speaks {theirs} of {kind} messages; release "
        f"{own.package} here speaks {here}; {cure}"
    )
