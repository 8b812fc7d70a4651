"""How sites hold the server to its audit log: each signs the log's head, once it is shown that the log only grew.

A chain of hashes can be rewritten from anywhere on by who keeps it. What sites have signed cannot: a server that
rewrites, forks or rewinds its log cannot prove to a site that the new log extends what the site has signed, and
afterwards its log does not fit the signatures. The server's log itself never leaves: sites see its head, and a few
hashes as proof (`records.tree`). A signature names the head of the site's own log too, so that a site's log is held by
the signatures in the server's.

No signature, or a refusal, is a fact for the record; it never ends a run.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError, FedVoxelError, PackageError
from fedvoxel.export.signature import Signature, sign, verify
from fedvoxel.export.trust import Trust
from fedvoxel.governance.log_notes import ServerNotes, SiteNotes
from fedvoxel.records.audit import FollowedLog
from fedvoxel.records.audit_event import AuditEvent, event_of
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.chain_entry import FIRST, Entry
from fedvoxel.records.identity import Identity
from fedvoxel.records.names import RunKey, Sha256
from fedvoxel.records.tree import extends, extension_proof, tree_root, tree_roots

PURPOSE = "countersignature of an audit log"

_CUT = "it was cut, or another put in its place"
_REWRITTEN = "it was rewritten, or is another"

Own = tuple[int, str]
"""How many entries a site's own log has, and the hash of the last; `FIRST` for none."""

_Count = Annotated[int, Field(ge=0, le=2**40)]


class Head(FrozenModel):
    """Is what a site signs of the server's log.

    Attributes:
        entries: How many entries the log has.
        head: Hash of the last.
        tree: Root of the hash tree over the hashes of all.
    """

    entries: Annotated[int, Field(ge=1, le=2**40)]
    head: Sha256
    tree: Sha256


class Question(FrozenModel):
    """Is what a server shows to the sites, the same to all.

    Attributes:
        run_key: The run that goes on.
        round: The last round of which the log holds everything; None where there is none.
        proofs: By the number of entries of an older head that a site is known to have signed, what shows that the log
            extends that head.
    """

    schema_version: Literal[1] = 1
    run_key: RunKey | Literal[""]
    round: Annotated[int, Field(ge=0)] | None
    shown: Head
    proofs: Annotated[dict[_Count, Annotated[tuple[Sha256, ...], Field(max_length=80)]], Field(max_length=1000)]


class Answer(FrozenModel):
    """Is what a site says to it.

    Attributes:
        known: How many entries the log had when this site signed last, before this; 0 for never.
        own_entries: How many entries the site's own log has.
        own_head: Hash of the last of these.
        signature: Of the head and of the site's own; None where the site refuses.
        reason: Why it refuses.
    """

    known: _Count
    own_entries: _Count = 0
    own_head: Sha256 = FIRST
    signature: Signature | None = None
    reason: Annotated[str, Field(max_length=500)] = ""


def heads_of(entries: Sequence[Entry], sizes: Collection[int]) -> dict[int, Head]:
    """Returns the heads that a log had at some numbers of entries, by these; none for more than it has."""
    roots = tree_roots([entry.hash for entry in entries], sizes)
    return {size: Head(entries=size, head=entries[size - 1].hash, tree=root) for size, root in roots.items()}


def signed_content(shown: Head, own: Own) -> bytes:
    """Returns what a site signs."""
    site_log = {"entries": own[0], "head": own[1]}
    return canonical_json({"server_log": shown.model_dump(mode="json"), "site_log": site_log})


def countersign(
    log: FollowedLog[SiteNotes], identity: Identity, question: Question, job_id: str, clock: Callable[[], datetime]
) -> Answer:
    """Signs the head that a site is shown, if the log extends the one that it signed last; notes it in its own log.

    Args:
        log: The site's own.
        identity: Who signs.
        question: What the server shows.
        job_id: The job in whose process this is.
        clock: Returns the present time with its zone.

    Raises:
        LedgerError: The site's own log cannot be trusted or written; nothing is signed then.
    """
    with log.writing() as (chain, notes):
        last, shown = _signed_in(notes), question.shown
        reason = _why_not(last, question)
        event = _event(identity.name, job_id, question)
        known = last.entries if last else 0
        if reason:
            chain.append(event.model_copy(update={"outcome": "refused", "reason": reason, "log_entries": known}).body())
            return Answer(known=known, reason=reason)
        own = notes.own
        signature = sign(identity, PURPOSE, signed_content(shown, own), clock())
        chain.append(event.body())
    return Answer(known=known, own_entries=own[0], own_head=own[1], signature=signature)


def question_for(notes: ServerNotes, sites: Collection[str], run_key: str, index: int | None) -> Question:
    """Returns what to show of a log that is not empty to sites."""
    leaves, known = notes.hashes, {notes.known.get(site, 0) for site in sites}
    # A site that has signed more than there is cannot be shown anything; it says so.
    proofs = {since: extension_proof(leaves, since) for since in sorted(known) if 0 < since <= len(leaves)}
    shown = Head(entries=len(leaves), head=leaves[-1], tree=tree_root(leaves))
    return Question(run_key=run_key, round=index, shown=shown, proofs=proofs)


def taken(question: Question, answer: Answer | None, site: str, job_id: str, trust: Trust, now: datetime) -> AuditEvent:
    """Returns the event that the server records of what a site has answered, or has not."""
    event = _event(site, job_id, question)
    if answer is None:
        return _without(event, "missing", "no answer in time, or none that can be read", None)
    if answer.signature is None:
        return _without(event, "refused", answer.reason or "no reason given", answer.known)
    try:
        own = answer.own_entries, answer.own_head
        check_signature(signed_content(question.shown, own), answer.signature, site, trust, now)
    except FedVoxelError as error:
        return _without(event, "failed", str(error), None)
    said = {"site_entries": answer.own_entries, "signature": answer.signature.model_dump(mode="json")}
    return event.model_copy(update={**said, "hashes": event.hashes | {"site_head": answer.own_head}})


def check_signature(content: bytes, signature: Signature, site: str, trust: Trust, now: datetime) -> None:
    """Refuses a signature that is not the site's of what `signed_content` returns.

    Raises:
        PackageError: It is another's or of something else, or its certificate does not count.
        ConsortiumError: The revocation list is out of date.
    """
    signer = verify(signature, PURPOSE, content, trust, now)
    if signer.name != site or signer.role is not None:
        raise PackageError(f"signed by {signer}, not by {site}")


def shown_in(event: AuditEvent) -> Head:
    """Returns the head that an event of a countersignature is about.

    Raises:
        ConfigError: It names none.
    """
    head, tree = event.hashes.get("log_head"), event.hashes.get("log_tree")
    if head is None or tree is None or not event.log_entries:
        raise ConfigError("a countersignature that names no head")
    return Head(entries=event.log_entries, head=head, tree=tree)


def last_signed(entries: Sequence[Entry]) -> Head | None:
    """Returns the head that a site has signed last, by its own log; None where it may sign any log of the server's."""
    notes = SiteNotes()
    for entry in entries:
        notes.note(entry)
    return _signed_in(notes)


def _signed_in(notes: SiteNotes) -> Head | None:
    return shown_in(event_of(notes.signed.body, notes.signed.index + 1)) if notes.signed else None


def shown_another(event: AuditEvent) -> bool:
    """Says whether a site refused because it was shown a log that does not begin with what it signed.

    Not where it was shown no proof of that: then the server asks again with one.
    """
    # Nothing but the words tells refusals apart; they are in logs, so they stay as they are.
    return event.kind == "countersignature" and event.outcome == "refused" and event.reason.endswith((_CUT, _REWRITTEN))


def _why_not(last: Head | None, question: Question) -> str:
    """Returns why a site does not sign, in words that may leave it; empty where it does."""
    if last is None:
        return ""
    shown = question.shown
    if shown.entries < last.entries:
        return (
            f"this site has signed {last.entries} entries of the server's log, and is shown one of {shown.entries}: "
            + _CUT
        )
    proof = question.proofs.get(last.entries, () if shown.entries == last.entries else None)
    if proof is None:
        return f"this site has signed {last.entries} entries, and is shown no proof that begins there"
    if not extends((last.entries, last.tree), (shown.entries, shown.tree), proof):
        return (
            f"the server's log of {shown.entries} entries does not extend the {last.entries} that this site has "
            f"signed: {_REWRITTEN}"
        )
    return ""


def _event(site: str, job_id: str, question: Question) -> AuditEvent:
    shown = question.shown
    return AuditEvent(
        kind="countersignature",
        outcome="done",
        run_key=question.run_key,
        job_id=job_id,
        round=question.round,
        site=site,
        hashes={"log_head": shown.head, "log_tree": shown.tree},
        log_entries=shown.entries,
    )


def _without(
    event: AuditEvent, outcome: Literal["missing", "refused", "failed"], reason: str, known: int | None
) -> AuditEvent:
    return event.model_copy(update={"outcome": outcome, "reason": reason, "log_entries": known})
