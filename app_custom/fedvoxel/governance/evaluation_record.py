"""What a hospital knows of requests for evaluations: which came, what its people said, and what left for them.

The record is a chain in the site's `state/evaluation_requests/`, outside of any folder that is shared. A person's word
is signed, and is about one request's bytes. Once an answer has left, the approvals before it are used up: for another
run people approve again. A refusal stands until the same person takes it back. The site's audit log has each step too,
before anything follows from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import StringConstraints

from fedvoxel.config import FrozenModel, parse_config
from fedvoxel.errors import ConfigError, ConsortiumError, LedgerError, PackageError
from fedvoxel.export.signature import Signature, named_signer, sign, verify
from fedvoxel.export.trust import Trust, read_trust
from fedvoxel.governance.approval_policy import load_approval_policy
from fedvoxel.governance.approval_record import Decision, Record, Word
from fedvoxel.governance.audited_files import policy_hash
from fedvoxel.governance.evaluation_request import Asked, EvaluationRequest
from fedvoxel.governance.fetched_list import site_lists
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.own_people import objection_to
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import Actor, AuditEvent, HashName
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import Entry
from fedvoxel.records.chain_lock import require_owner
from fedvoxel.records.identity import Identity
from fedvoxel.records.names import Sha256

PURPOSE = "evaluation approval"

_FOLDER = "evaluation_requests"
_TASK = "evaluation"


class Ruling(FrozenModel):
    """Is what a person signs; it holds the request itself, so that the record shows what was approved.

    Attributes:
        site: Where.
        content: SHA-256 of the request's file.
        word: Approved or refused.
        reason: Why; for the hospital's own eyes.
        request: What was asked.
    """

    schema_version: Literal[1] = 1
    site: str
    content: Sha256
    word: Word
    reason: Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
    request: EvaluationRequest

    @property
    def signed(self) -> bytes:
        """Is what is signed."""
        return canonical_json(self.model_dump(mode="json"))


@dataclass(frozen=True)
class Standing:
    """Is how a request stands now.

    Attributes:
        word: Whether it waits, may run, was refused, or was answered.
        said: Each person's last word.
        needed: How many approvals it needs.
    """

    word: Literal["waiting", "approved", "refused", "returned"]
    said: tuple[Decision, ...]
    needed: int


class EvaluationRecord:
    """Is the record of one site on disk."""

    def __init__(self, kit: Kit) -> None:
        """Touches no file; `kit` is a site's."""
        self._kit = kit
        self.folder = kit.state / _FOLDER
        self._chain = Chain(self.folder / "requests.jsonl")

    def note_arrival(self, asked: Asked) -> None:
        """Writes once that a request came, and from whom.

        Raises:
            LedgerError: The record or the audit log cannot be trusted or written.
        """
        body = {"kind": "arrived", "content": asked.content, "asker": asked.asker.name}
        with self._chain.writing() as chain:
            if all(entry.body != body for entry in chain.entries):
                self._audit(asked, AuditEvent(kind="command", outcome="done", actor=_actor(asked), task="datasite ask"))
                chain.append(body)

    def rule(self, identity: Identity, asked: Asked, word: Word, reason: str, now: datetime) -> None:
        """Writes what a person says of a request.

        Raises:
            ConfigError: The reason is no line of at most 500 characters.
            ConsortiumError: The person is not one of this hospital's, or the certificate does not count now.
            LedgerError: The record or the audit log cannot be trusted or written.
        """
        require_owner(self.folder, "the record of requests")
        values = {"site": self._kit.name, "content": asked.content, "word": word, "reason": reason}
        ruling = parse_config(Ruling, {**values, "request": asked.request.model_dump()}, "what you say of the request")
        signature = sign(identity, PURPOSE, ruling.signed, now)
        try:
            signer = verify(signature, PURPOSE, ruling.signed, self._trust(), now)
            objection = objection_to(self._kit, signer)
        except PackageError as problem:
            objection = str(problem)
        if objection:
            raise ConsortiumError(f"{identity.name} cannot decide here: {objection}")
        actor = Actor(name=identity.name, role="person", organisation=self._kit.organisation)
        task = "datasite approve" if word == "approved" else "datasite reject"
        self._audit(asked, AuditEvent(kind="command", outcome="done", actor=actor, task=task, reason=reason))
        said = ruling.model_dump(mode="json")
        self._chain.append({"kind": "ruled", "ruling": said, "signature": signature.model_dump(mode="json")})

    def note_returned(self, asked: Asked, answer: str) -> None:
        """Writes, before it leaves, that an answer of this hash leaves.

        Raises:
            LedgerError: The record or the audit log cannot be trusted or written.
        """
        self._audit(asked, AuditEvent(kind="answer", outcome="done", task=_TASK, hashes={"answer": answer}))
        self._chain.append({"kind": "returned", "content": asked.content, "answer": answer})

    def note_refusal(self, asked: Asked, reason: str) -> None:
        """Has the site's log know that nothing left for a request, and why.

        Raises:
            LedgerError: The audit log cannot be trusted or written.
        """
        self._audit(asked, AuditEvent(kind="answer", outcome="refused", task=_TASK, reason=reason[:500]))

    def standing(self, asked: Asked, now: datetime | None = None) -> Standing:
        """Returns how a request stands, by the site's rule of approval as it is now; at least one approval is needed.

        Raises:
            ConfigError: The rule is missing or wrong.
            ConsortiumError: The kit's root or its revocation list cannot be used.
            LedgerError: The record cannot be trusted.
        """
        policy, entries = load_approval_policy(self._kit.local), self._chain.read()
        mine = [entry for entry in entries if _content_of(entry) == asked.content]
        answered = max((number for number, entry in enumerate(mine) if entry.body["kind"] == "returned"), default=-1)
        whole = self._said(mine, now or datetime.now(UTC))
        since = self._said(mine[answered + 1 :], now or datetime.now(UTC))
        needed = max(1, policy.needed([asked.request.cohort], has_code=False))
        approved = [
            name
            for name in since.approved_by(asked.content)
            if policy.submitter_may_approve or name != asked.asker.name
        ]
        said = tuple(whole.last_words(asked.content).values())
        if whole.refused_by(asked.content):
            return Standing("refused", said, needed)
        if len(approved) >= needed:
            return Standing("approved", said, needed)
        return Standing("returned" if answered >= 0 else "waiting", said, needed)

    def unanswered(self) -> tuple[str, ...]:
        """Returns the contents that people approved last and that were not answered since, in order.

        Raises:
            LedgerError: The record cannot be trusted.
        """
        last: dict[str, str] = {}
        for entry in self._chain.read():
            if entry.body.get("kind") in ("ruled", "returned"):
                last[_content_of(entry)] = str(entry.body.get("ruling", {}).get("word"))
        return tuple(content for content, word in last.items() if word == "approved")

    def _said(self, entries: Sequence[Entry], now: datetime) -> Record:
        ruled = [entry for entry in entries if entry.body["kind"] == "ruled"]
        trust = self._trust() if ruled else None
        said = [self._decision(entry, trust, now) for entry in ruled if trust]
        return Record((), tuple(decision for decision in said if decision))

    def _decision(self, entry: Entry, trust: Trust, now: datetime) -> Decision | None:
        """Returns what an entry says, if it counts: written for this site, signed by a person of this hospital."""
        try:
            ruling = parse_config(Ruling, entry.body["ruling"], "a ruling")
            signature = parse_config(Signature, entry.body["signature"], "a signature")
            if ruling.word == "refused":  # a certificate that counts no more must not let in what was kept out
                signer = named_signer(signature, PURPOSE, ruling.signed)
            else:
                signer = verify(signature, PURPOSE, ruling.signed, trust, now)
        except (PackageError, ConfigError, KeyError):
            return None
        if ruling.site != self._kit.name or objection_to(self._kit, signer):
            return None
        job = f"{ruling.request.model} {ruling.request.version}"
        return Decision(ruling.content, job, ruling.word, signer.name, signature.signed_at, ruling.reason)

    def _audit(self, asked: Asked, event: AuditEvent) -> None:
        hashes: dict[HashName, str] = {"content": asked.content, "policy": _policy(self._kit.local)}
        about = {"site": self._kit.name, "cohort": asked.request.cohort, "hashes": hashes | event.hashes}
        AuditLog(self._kit.state).record([event.model_copy(update=about)])

    def _trust(self) -> Trust:
        site_lists(self._kit)  # says so where there was a list and is none
        return read_trust(self._kit.folder)


def _actor(asked: Asked) -> Actor:
    asker = asked.asker
    return Actor(name=asker.name, role=asker.role or "", organisation=asker.organisation)


def _content_of(entry: Entry) -> str:
    """Returns which request an entry is about.

    Raises:
        LedgerError: It is none of this version.
    """
    body = entry.body
    try:
        return str(body["ruling"]["content"] if body["kind"] == "ruled" else body["content"])
    except (KeyError, TypeError):
        raise LedgerError(f"line {entry.index + 1} of the requests is none of this version; update fedvoxel") from None


def _policy(local: Path) -> str:
    try:
        return policy_hash(local)
    except OSError as error:
        raise LedgerError(f"the site's policy cannot be read for the audit ({error.strerror})") from None
