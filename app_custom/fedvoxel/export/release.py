"""A release: one package in one state, said and signed by a person, at one place of an index.

A signature covers the hash of the entry before it. Whoever can write to the folder, but has no person's key, can
therefore only repeat the index up to an earlier entry; see `releases`, whose readers remember how far it went.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, NonNegativeInt, StringConstraints, model_validator

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.description import Version
from fedvoxel.export.promotion import PromotionEvidence
from fedvoxel.export.signature import Signature, read_versioned
from fedvoxel.export.trust import Role
from fedvoxel.federation.reader_study.requirement import ReaderStudyEvidence, ReaderStudyRequirement
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.names import ModelName, Sha256

PURPOSE = "release"
"""What an entry's signature is for."""

SCHEMA_VERSION = 3

State = Literal["candidate", "released", "superseded", "withdrawn"]
"""candidate: to be evaluated; released: to be used; superseded: there is a better one; withdrawn: not to be used."""

MAY_SET: dict[State, frozenset[Role]] = {
    "candidate": frozenset({"project_admin", "org_admin", "lead", "member"}),
    "released": frozenset({"project_admin", "lead"}),
    "superseded": frozenset({"project_admin", "lead"}),
    "withdrawn": frozenset({"project_admin", "lead", "org_admin"}),
}
"""Who may set which state: anybody proposes, leads decide, and a hospital's administrator may also stop."""

MAY_FOLLOW: dict[State | None, frozenset[State]] = {
    None: frozenset({"candidate", "released"}),
    "candidate": frozenset({"released", "withdrawn"}),
    "released": frozenset({"superseded", "withdrawn"}),
    "superseded": frozenset({"released", "withdrawn"}),
    "withdrawn": frozenset(),
}
"""Which state may follow which; a withdrawn package stays withdrawn."""

Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$")
]


class Statement(FrozenModel):
    """Is what one entry says, and what is signed.

    Attributes:
        index: The entry's place, from 0.
        previous: Hash of the entry before it.
        package: Identity of the package.
        name: The model's.
        version: The model's.
        state: Its state from now on.
        reason: Why.
        reader_study: What was required of a reader study, and seen; None without one.
        requires: What every release of this index requires of a reader study; in its first entry only.
        promotion: By what policy and reports it was promoted; None where no gates were asked.
    """

    schema_version: Literal[1, 2, 3] = 1
    index: Annotated[NonNegativeInt, Field(strict=True)]
    previous: Sha256
    package: Sha256
    name: ModelName
    version: Version
    state: State
    reason: Reason
    reader_study: ReaderStudyEvidence | None = None
    requires: ReaderStudyRequirement | None = None
    promotion: PromotionEvidence | None = None

    @model_validator(mode="after")
    def _version_says_what_is_in_it(self) -> Self:
        # Who knows no more than an earlier version must not take the entry for one without conditions.
        if self.schema_version != version_of(self.reader_study, self.requires, self.promotion):
            raise ValueError("schema_version 3 goes with a promotion, 2 with a reader study, and 1 with neither")
        if self.promotion is not None and self.state != "released":
            raise ValueError("what is promoted is released")
        if self.requires is not None and self.index:
            raise ValueError("what every release requires is said in the first entry of an index only")
        return self

    @property
    def content(self) -> bytes:
        """Is what is signed."""
        return canonical_json(self.model_dump(mode="json", exclude_none=True))


def version_of(
    study: ReaderStudyEvidence | None, requires: ReaderStudyRequirement | None, promotion: PromotionEvidence | None
) -> Literal[1, 2, 3]:
    """Returns the first version that has what a statement says."""
    if promotion is not None:
        return 3
    return 1 if study is None and requires is None else 2


class SignedStatement(FrozenModel):
    """Is the body of an entry."""

    statement: Statement
    signature: Signature


def read_statement(body: dict[str, Any], line: int) -> SignedStatement:
    """Reads an entry's body.

    Raises:
        PackageError: It is none, or of a newer version.
    """
    what = f"line {line} of the index"
    inner = body.get("statement")
    read_versioned(canonical_json(inner if isinstance(inner, dict) else {}), SCHEMA_VERSION, what)
    try:
        return parse_config(SignedStatement, body, what)
    except ConfigError as error:
        raise PackageError(str(error)) from None


def check_may_require(role: Role | None, who: str) -> None:
    """Checks that a person may say what every release of an index requires: who may release may.

    Raises:
        PackageError: The role does not allow it.
    """
    if role is None or role not in MAY_SET["released"]:
        raise PackageError(f"{who} may not say what releases require; a lead or the project's administrator may")


def check_allowed(state: State, before: State | None, role: Role | None, who: str) -> None:
    """Checks that a person may set a state now.

    Raises:
        PackageError: The role does not allow it, or the state may not follow the one before.
    """
    if role is None or role not in MAY_SET[state]:
        allowed = ", ".join(sorted(MAY_SET[state]))
        raise PackageError(f"{who} may not make a package {state}; people with these roles may: {allowed}")
    if state not in MAY_FOLLOW[before]:
        was = "new" if before is None else before
        raise PackageError(f"a package that is {was} cannot become {state}")
