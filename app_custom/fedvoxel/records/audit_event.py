"""One event of an audit log, on the server and at the sites alike: who did what, to what, with what outcome.

An event names participants, people of the consortium, runs and hashes; never a patient, a path or a value of an update.
`docs/audit.md` has a table of what is recorded when. A new kind of fact is a new name in one of the closed sets below.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from fedvoxel.errors import LedgerError, VersionError
from fedvoxel.formats import AUDIT_LOG, BY_NAME, current
from fedvoxel.records.names import Sha256

SCHEMA_VERSION = BY_NAME[AUDIT_LOG].writes
"""The version of the events that are written; `formats` says which are read."""

Kind = Literal[
    "job",
    "run",
    "round",
    "answer",
    "release",
    "command",
    "registration",
    "connection",
    "countersignature",
    "gap",
]
"""What an event is about: a job (is it admitted?), a run (an attempt at it begins or ends), a round, a site's answer to
a question, a model that is released, a console command, a site's registration, a connection to the
server or what came over one in another's name, a site's signature of the server's log, a gap in that log that a person
has accepted."""

Outcome = Literal[
    "done",
    "allowed",
    "refused",
    "missing",
    "failed",
    "not_selected",
    "started",
    "resumed",
    "finished",
    "stopped_early",
    "aborted",
]
"""What became of it. "allowed" is a command that the server is about to carry out; "refused" was decided by the keeper
of the log, but for a countersignature, which a site refuses; "missing" means that nothing came; "started" to "aborted"
are about runs."""

HashName = Literal[
    "job",
    "content",
    "model_before",
    "model",
    "update",
    "answer",
    "cohort",
    "policy",
    "ledger_head",
    "outcome",
    "log_head",
    "log_tree",
    "site_head",
    "certificate",
]
"""What a hash is of: all in a job's app; that and the job's own meta, which is what people approve; the global model
before and after a round; an update as it was received; what left a site; a cohort's manifest; the site's policy; the
head of the privacy ledger; `outcome.json`; the head of the server's log, and the root of the tree over it, that a site
was shown; a certificate of withdrawal."""

MOST_HEADS = 1000
"""So many lost heads one event names at most."""

Text = Annotated[str, StringConstraints(max_length=2000)]
Name = Annotated[str, StringConstraints(max_length=200)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Actor(_Frozen):
    """Is who did something, by the name in a certificate.

    Attributes:
        role: "server", "site", or a person's FLARE role; empty where only a name or an address is known.
        organisation: As the certificate has it; empty where it is not known.
    """

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    role: Name
    organisation: Name = ""


class Spent(_Frozen):
    """Is what a cohort's privacy ledger has charged in all, when the event was written.

    Attributes:
        unit: Whom it protects.
        epsilon: Of all runs together, added up.
        delta: Of all runs together, added up.
    """

    unit: Literal["patient", "hospital"]
    epsilon: Annotated[float, Field(ge=0)]
    delta: Annotated[float, Field(ge=0, le=1)]


class AuditEvent(_Frozen):
    """Is one thing that happened.

    Attributes:
        kind: What it is about.
        outcome: What became of it.
        actor: Who did or asked for it; None where that is the keeper of the log.
        run_key: The run; empty where it is about none, or not known.
        job_id: The FLARE job, one attempt at the run; empty as above.
        task: For an answer, what the site had been asked for: "initialize" (the first model), "train",
            "secure_aggregation" (what it has to say after its update is in a sum), "contribution" (scores that tell
            what updates are worth), "validation", "test", or another task's name; for a command, its name.
        round: The round, from 0; None before the first, after the last, and where it is about none.
        site: The site that it is about; empty where it is about none.
        cohort: Name of the cohort in the site's own file, at a site.
        reason: Why, where the outcome needs a reason.
        hashes: SHA-256 by name.
        size_bytes: Of the arrays that left or came; None where that is not counted.
        log_entries: How many entries the server's log had when it was countersigned; where a site refused, how many it
            had when that site countersigned it last (0 for never); of a gap, how many it had at the last lost head.
        site_entries: How many entries the site's own log had at that time.
        spent: The privacy loss, where the event comes with one.
        kept_entries: Of a gap in the server's log, how many entries from before it sites confirm.
        heads: Of a gap in the server's log, the heads that sites have signed and that it has no more.
        site_certificate: Of a gap in a site's log, the site's certificate (PEM): of which hospital it is.
        signature: A site's signature of the server's log, or a person's of a gap: an `export.signature.Signature` as
            JSON.
    """

    kind: Kind
    outcome: Outcome
    actor: Actor | None = None
    run_key: Name = ""
    job_id: Name = ""
    task: Name = ""
    round: Annotated[int, Field(ge=0)] | None = None
    site: Name = ""
    cohort: Name = ""
    reason: Text = ""
    hashes: dict[HashName, Sha256] = Field(default_factory=dict)
    size_bytes: Annotated[int, Field(ge=0)] | None = None
    log_entries: Annotated[int, Field(ge=0)] | None = None
    site_entries: Annotated[int, Field(ge=0)] | None = None
    spent: Spent | None = None
    kept_entries: Annotated[int, Field(ge=0)] | None = None
    heads: Annotated[tuple[Sha256, ...], Field(max_length=MOST_HEADS)] = ()
    site_certificate: Annotated[str, Field(max_length=20_000)] = ""
    signature: dict[str, Any] | None = None

    def body(self) -> dict[str, Any]:
        """Returns what a line of the log records: the values that are not empty, and the version."""
        return {"schema_version": SCHEMA_VERSION} | self.model_dump(mode="json", exclude_defaults=True)


def event_of(body: dict[str, Any], number: int) -> AuditEvent:
    """Returns what a line of a log records.

    Args:
        body: The line's body, of this version or of one before it.
        number: The line's number from 1, for the error.

    Raises:
        LedgerError: It is no event, or of a newer version.
    """
    what = f"line {number} of the audit log"
    try:
        values = dict(current(AUDIT_LOG, body, what))
        if values.pop("schema_version", None) is not SCHEMA_VERSION:
            raise ValueError("no version")
        return AuditEvent.model_validate(values)
    except VersionError as error:
        raise LedgerError(str(error)) from None
    except ValueError:
        raise LedgerError(f"{what} is no event of this version; update fedvoxel") from None
