"""What a hospital knows of requests for evaluations: which came, what its people said, and what left for them.

The record is a chain in the site's `state/evaluation_requests/`, outside of any folder that is shared. A person's word
is signed, and is about one request's bytes. Once an answer has left, the approvals before it are used up: for another
run people approve again. They lapse, too, when the request is found changed or gone. A refusal stands until the same
person takes it back. The site's audit log has each step too, before anything follows from it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, ConsortiumError, LedgerError, PackageError
from fedvoxel.export.signature import Signature, named_signer, sign, verify
from fedvoxel.export.trust import Trust, read_trust
from fedvoxel.governance.approval_policy import load_approval_policy
from fedvoxel.governance.approval_record import Decision, Record, Word
from fedvoxel.governance.audited_files import policy_hash
from fedvoxel.governance.evaluation_request import Asked
from fedvoxel.governance.evaluation_ruling import PURPOSE, Ruling, Standing
from fedvoxel.governance.fetched_list import site_lists
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.own_people import objection_to
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import Actor, AuditEvent, HashName
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import Entry
from fedvoxel.records.chain_lock import require_owner
from fedvoxel.records.identity import Identity

_FOLDER = "evaluation_requests"
_TASK = "evaluation"
_ENDS = ("returned", "lapsed")
"""What uses up the approvals before it."""


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

    def note_lapsed(self, content: str) -> None:
        """Writes that a request which was approved was found changed or gone, so that its approvals count no more.

        Raises:
            LedgerError: The record or the audit log cannot be trusted or written.
        """
        reason = "the request was changed after the approval, or taken away"
        event = AuditEvent(kind="answer", outcome="refused", task=_TASK, site=self._kit.name, reason=reason)
        AuditLog(self._kit.state).record([event.model_copy(update={"hashes": {"content": content}})])
        self._chain.append({"kind": "lapsed", "content": content})

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
        used_up = [(number, entry.body["kind"]) for number, entry in enumerate(mine) if entry.body["kind"] in _ENDS]
        last, end = used_up[-1] if used_up else (-1, "")
        whole = self._said(mine, now or datetime.now(UTC))
        since = self._said(mine[last + 1 :], now or datetime.now(UTC))
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
        return Standing("returned" if end == "returned" else "waiting", said, needed)

    def unanswered(self) -> tuple[str, ...]:
        """Returns the contents that people approved last and that were not answered since, in order.

        Raises:
            LedgerError: The record cannot be trusted.
        """
        last: dict[str, str] = {}
        for entry in self._chain.read():
            if entry.body.get("kind") in ("ruled", *_ENDS):
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
            if entry.body.get("ruling", {}).get("word") == "approved":
                return None
            # What may be a refusal is not passed over for being of another version.
            raise LedgerError(f"line {entry.index + 1} of the requests cannot be read; update fedvoxel") from None
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
