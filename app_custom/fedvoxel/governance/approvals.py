"""What a hospital's people have said about jobs: what came, who approved it, who refused it, with their signatures.

The record is a chain in the site's `state/approvals/`; beside it lies each job that came or was looked at, under the
hash of all of it that would run. A person's last word on a content counts, once, and only if it is signed with a
certificate of a person of this hospital (organisation and role in it). An approval counts only while that certificate
is of a root that is trusted, was valid then and not revoked. One refusal stands until the same person takes it back,
also when its certificate counts no more: with a root that is dropped approvals end, and refusals do not.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedvoxel.config import parse_config, read_json
from fedvoxel.errors import ConfigError, ConsortiumError, JobError, LedgerError, PackageError
from fedvoxel.export.signature import Signature, named_signer, sign, verify
from fedvoxel.export.trust import Trust, read_trust
from fedvoxel.governance.approval_record import Arrival, Decision, Record, Word
from fedvoxel.governance.fetched_list import site_lists
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.own_people import objection_to
from fedvoxel.governance.submission import Submission, submission_from_json
from fedvoxel.records.atomic import write_json
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import Actor, AuditEvent
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import Entry
from fedvoxel.records.chain_lock import require_owner
from fedvoxel.records.identity import Identity

MOST_PENDING = 100
"""Contents that are kept while nobody has said anything about them: who may submit jobs could fill a disk otherwise."""

_FOLDER = "approvals"
_PURPOSE = "job approval"
_LONGEST_REASON = 1000


class Approvals:
    """Is the record of one site on disk."""

    def __init__(self, kit: Kit) -> None:
        """Touches no file; `kit` is a site's."""
        self._kit = kit
        self._folder = kit.state / _FOLDER
        self._chain = Chain(self._folder / "approvals.jsonl")

    def read(self, now: datetime | None = None, about: str | None = None) -> Record:
        """Returns what came and what was decided; a decision that does not count is left out.

        Args:
            now: The time to judge by (aware); the present when None.
            about: The one content whose decisions are wanted; those of all when None.

        Raises:
            LedgerError: The chain cannot be trusted.
            ConsortiumError: The kit's root or its revocation list cannot be used.
        """
        entries = self._chain.read()
        decided = [entry for entry in entries if entry.body.get("kind") == "decided" and _is_about(entry, about)]
        # Where nobody has said anything, a revocation list that is out of date changes nothing.
        trust = self._trust() if decided else None
        arrivals = [Arrival(**_said(entry, Arrival)) for entry in entries if entry.body.get("kind") == "arrived"]
        now = now or datetime.now(UTC)
        said = [self._decision(entry, trust, now) for entry in decided if trust]
        return Record(tuple(arrivals), tuple(decision for decision in said if decision))

    def keep_arrival(self, arrival: Arrival, submission: Submission) -> bool:
        """Keeps what came, for a person to look at; says whether there was room for it.

        Raises:
            LedgerError: The chain cannot be trusted or written.
            OSError: The disk is full.
        """
        record = self.read()
        known = [(each.content, each.submitter) for each in record.arrivals]
        if (arrival.content, arrival.submitter) in known:
            return True
        undecided = [content for content in record.contents if not record.last_words(content)]
        if len(undecided) >= MOST_PENDING and arrival.content not in record.contents:
            return False
        self._keep(submission)
        self._chain.append({"kind": "arrived", **_as_body(arrival)})
        return True

    def decide(self, identity: Identity, submission: Submission, word: Word, reason: str, now: datetime) -> None:
        """Writes what a person says about a content.

        Raises:
            ConsortiumError: The person is not one of this hospital's, or the certificate does not count now.
            JobError: The reason is too long.
            LedgerError: The chain cannot be trusted or written.
            OSError: The disk is full.
        """
        require_owner(self._folder, "the record of approvals")
        if len(reason) > _LONGEST_REASON:
            raise JobError(f"--reason: at most {_LONGEST_REASON} characters, got {len(reason)}")
        about = {"site": self._kit.name, "content": submission.sha256, "job": submission.name}
        statement = {**about, "word": word, "reason": reason}
        signature = sign(identity, _PURPOSE, canonical_json(statement), now)
        try:
            objection = objection_to(
                self._kit, verify(signature, _PURPOSE, canonical_json(statement), self._trust(), now)
            )
        except PackageError as problem:
            objection = str(problem)
        if objection:
            raise ConsortiumError(f"{identity.name} cannot decide here: {objection}")
        self._keep(submission)
        self._audit(identity.name, submission.sha256, word, reason)
        self._chain.append({"kind": "decided", "statement": statement, "signature": signature.model_dump(mode="json")})

    def content(self, sha256: str) -> Submission:
        """Returns a job that was kept.

        Raises:
            JobError: There is none, or it is not what its name says.
        """
        try:
            kept = submission_from_json(read_json(self._place(sha256), "the kept job"))
        except ConfigError as problem:
            raise JobError(f"content {sha256[:12]}: {problem}") from None
        if kept.sha256 != sha256:
            raise JobError(f"content {sha256[:12]} is not what was kept: the file was changed; have it submitted again")
        return kept

    def _decision(self, entry: Entry, trust: Trust, now: datetime) -> Decision | None:
        """Returns what an entry says, if it counts: written for this site, signed by a person of this hospital."""
        try:
            statement = dict(entry.body["statement"])
            signature, signed = (
                parse_config(Signature, entry.body["signature"], "a signature"),
                canonical_json(statement),
            )
            if statement["word"] == "refused":  # a certificate that counts no more must not let in what was kept out
                signer = named_signer(signature, _PURPOSE, signed)
            else:
                signer = verify(signature, _PURPOSE, signed, trust, now)
            if statement.pop("site") != self._kit.name or objection_to(self._kit, signer) or not _are_words(statement):
                return None
            return Decision(person=signer.name, at=signature.signed_at, **statement)
        except (PackageError, ConfigError, KeyError, TypeError, ValueError):
            return None

    def _audit(self, person: str, content: str, word: Word, reason: str) -> None:
        """Has the site's log know before anything follows from it."""
        event = AuditEvent(
            kind="command",
            outcome="done",
            actor=Actor(name=person, role="person", organisation=self._kit.organisation),
            task="site approve" if word == "approved" else "site refuse",
            site=self._kit.name,
            reason=reason,
            hashes={"content": content},
        )
        AuditLog(self._kit.state).record([event])

    def _trust(self) -> Trust:
        site_lists(self._kit)  # says so where there was a list and is none
        return read_trust(self._kit.folder)

    def _keep(self, submission: Submission) -> None:
        place = self._place(submission.sha256)
        if not place.is_file():
            write_json(place, submission.as_json(), mode=0o600)

    def _place(self, sha256: str) -> Path:
        return self._folder / "jobs" / f"{sha256}.json"


def has_record(state: Path) -> bool:
    """Says whether anything came or was said at a site: where nothing was, no job can have been refused."""
    return (state / _FOLDER).exists()


def _as_body(arrival: Arrival) -> dict[str, Any]:
    return {name: getattr(arrival, name) for name in Arrival.__dataclass_fields__}


def _is_about(entry: Entry, content: str | None) -> bool:
    statement = entry.body.get("statement")
    return content is None or (isinstance(statement, dict) and statement.get("content") == content)


def _are_words(values: dict[str, Any]) -> bool:
    return all(isinstance(value, str) for value in values.values())


def _said(entry: Entry, kind: type[Arrival]) -> dict[str, Any]:
    values = {name: entry.body.get(name) for name in kind.__dataclass_fields__}
    if not _are_words(values):
        raise LedgerError(f"line {entry.index + 1} of the approvals is none of this version; update fedvoxel")
    return values
