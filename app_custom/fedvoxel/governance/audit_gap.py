"""What it means that a person has accepted a gap in the server's audit log, on the server's side and on a site's.

A server that lost its log, or put an older copy back, cannot get back what was in it, and what sites have signed says
so for ever. A person can say openly that it is so: in the server's log, which of the signed heads are not there any
more; in a site's, that the site signs a log of the server's again that does not extend what it signed. Nothing else is
excused by it, and whoever verifies is told.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from fedvoxel.config import parse_config
from fedvoxel.errors import LedgerError
from fedvoxel.export.signature import Signature, verify
from fedvoxel.export.trust import Trust
from fedvoxel.records.audit_event import AuditEvent
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.chain_entry import Entry

PURPOSE = "acceptance of a gap in an audit log"

Line = tuple[Entry, AuditEvent]


@dataclass(frozen=True)
class Gap:
    """Is one gap that was accepted.

    Attributes:
        line: The line that says so, from 1.
        at: When it was accepted.
        by: Who did: name and role.
        first: The first entry of the server's former log that only signatures attest; None in a site's log, which does
            not know.
        last: The last.
        reason: Why, in the person's words.
    """

    line: int
    at: str
    by: str
    first: int | None
    last: int
    reason: str

    def __str__(self) -> str:
        said = (
            f"this site has signed {self.last} entries of the server's former log, and signs another since"
            if self.first is None
            else f"entries {self.first} to {self.last} of the former log are only attested by what sites have signed"
        )
        return f"a gap was accepted by {self.by} on {self.at[:10]}: {said} ({self.reason})"


def gaps_in(lines: Iterable[Line]) -> tuple[Gap, ...]:
    """Returns the gaps that a log says were accepted."""
    return tuple(
        Gap(
            entry.index + 1,
            entry.at,
            f"{event.actor.name} ({event.actor.role})" if event.actor else "nobody",
            None if event.kept_entries is None else event.kept_entries + 1,
            event.log_entries or 0,
            event.reason,
        )
        for entry, event in lines
        if event.kind == "gap"
    )


def accepted_heads(lines: Iterable[Line]) -> frozenset[str]:
    """Returns the heads, signed by sites, of which a server's log says that it has them no more."""
    return frozenset(head for _, event in lines if event.kind == "gap" for head in event.heads)


def accepted_content(event: AuditEvent, previous: str) -> bytes:
    """Returns what a person signs: all that the event says, and the entry that it comes after.

    Args:
        event: The acceptance; its signature is not part of it.
        previous: The hash of that entry, so that it counts at this place of this log only.
    """
    unsigned = event.model_copy(update={"signature": None})
    return canonical_json({"previous": previous, "event": unsigned.body()})


def check_gap(line: Line, trust: Trust, now: datetime) -> None:
    """Refuses an acceptance that the person whom it names has not signed at this place.

    Raises:
        ConfigError: It has no signature.
        PackageError: It is another's, or of something else, or the certificate does not count.
        ConsortiumError: The revocation list is out of date.
        LedgerError: It names somebody else than who signed, or no person.
    """
    entry, event = line
    signature = parse_config(Signature, event.signature, "the signature of an accepted gap")
    signer = verify(signature, PURPOSE, accepted_content(event, entry.previous), trust, now)
    if signer.role is None or event.actor is None or (event.actor.name, event.actor.role) != (signer.name, signer.role):
        raise LedgerError(f"a gap that was accepted by somebody else than it says: {signer} has signed it")
