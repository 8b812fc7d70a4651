"""One thing that a person says about an incident, as it is signed and kept."""

import re
import secrets
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import StringConstraints, model_validator

from fedvoxel.config import FrozenModel
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.chain_entry import FIRST
from fedvoxel.records.names import Sha256

PURPOSE = "incident"
"""What such a statement's signature is for."""

IncidentKind = Literal["disclosure", "intrusion", "bad_update", "unsafe_model", "bad_data", "outage"]
"""What kind of incident; `docs/incidents.md` has a runbook for each."""

Severity = Literal["low", "medium", "high", "critical"]

Word = Literal["declared", "noted", "halted", "lifted", "quarantined", "released", "closed"]
"""What is said: it is one; something about it; all jobs stop, and no longer; a site is kept out, and no longer; it is
over."""

IncidentId = Annotated[str, StringConstraints(pattern=r"^[0-9]{8}-[0-9a-f]{6}$")]
Line = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=r"^[^\x00-\x1f\x7f]+$")
]
_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")


class IncidentStatement(FrozenModel):
    """Is what is signed.

    Attributes:
        incident: Names the incident.
        keeper: In whose record it stands: the server's or the site's name.
        word: What is said.
        kind: What kind of incident it is; when it is declared, and then only.
        severity: How bad it is; when it is declared, and where a note has changed that.
        site: The site that is kept out, or no longer.
        text: Why, or what; in words that name no patient.
        previous: Hash of the entry before it in the record, so that nobody can say it again in a signer's name.
    """

    schema_version: Literal[1] = 1
    incident: IncidentId
    keeper: Line
    word: Word
    kind: IncidentKind | None = None
    severity: Severity | None = None
    site: str = ""
    text: Line
    previous: Sha256 = FIRST

    @model_validator(mode="after")
    def _says_what_its_word_needs(self) -> Self:
        declared = self.word == "declared"
        if declared != (self.kind is not None) or (declared and self.severity is None):
            raise ValueError("an incident has a kind and a severity when it is declared, and its kind never changes")
        if self.severity is not None and self.word not in ("declared", "noted"):
            raise ValueError("a severity goes with a declaration or a note")
        if (self.word in ("quarantined", "released")) != bool(_SITE.fullmatch(self.site)):
            raise ValueError("a site is named where it is kept out or let in, and nowhere else")
        return self

    @property
    def content(self) -> bytes:
        """Is what is signed."""
        return canonical_json(self.model_dump(mode="json", exclude_defaults=True))


def new_incident(now: datetime) -> str:
    """Returns a name for an incident that is declared at a time (aware)."""
    return f"{now.astimezone(UTC):%Y%m%d}-{secrets.token_hex(3)}"
