"""A person accepts a gap in the server's audit log: openly, signed, and of exactly what is missing at that moment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from fedvoxel.errors import LedgerError
from fedvoxel.export.signature import sign
from fedvoxel.governance.audit_comparison import has_head, signed_head
from fedvoxel.governance.audit_gap import PURPOSE, Line, accepted_content, accepted_heads
from fedvoxel.governance.countersigning import Head, last_signed
from fedvoxel.records.audit import AuditLog, events_of
from fedvoxel.records.audit_event import MOST_HEADS, Actor, AuditEvent
from fedvoxel.records.chain import OpenChain
from fedvoxel.records.chain_entry import FIRST
from fedvoxel.records.identity import Identity, organisation_of, role_of


@dataclass(frozen=True)
class Acceptance:
    """Is who accepts, and why, in words that stay in the log."""

    person: Identity
    reason: str
    now: datetime

    @property
    def actor(self) -> Actor:
        """Is the person, as the certificate says.

        Raises:
            LedgerError: It is no person's.
        """
        certificate = x509.load_pem_x509_certificate(self.person.certificate.encode())
        if not role_of(certificate):
            raise LedgerError(f"a person accepts a gap; {self.person.name} is none: sign with a person's kit")
        return Actor(name=self.person.name, role=role_of(certificate), organisation=organisation_of(certificate))


def accept_at_server(log: AuditLog, sites: Mapping[str, Sequence[Line]], accepted: Acceptance) -> list[AuditEvent]:
    """Writes into the server's log which signed heads it has no more, and returns the events.

    Args:
        log: The server's.
        sites: What each site's log says, whole.
        accepted: Who accepts it.

    Raises:
        LedgerError: There is no gap; or it is none of an older copy, since the log has later entries that a site signed
            and not the earlier ones.
    """
    with log.writing() as chain:
        server = events_of(chain.entries)
        known = accepted_heads(server)
        kept, lost = len(server), dict[str, Head]()
        for name, lines in sites.items():
            held, missing = _gap_of(server, lines, name)
            missing = [head for head in missing if head.head not in known]
            if missing:
                kept = min(kept, held)
                lost.update({head.head: head for head in missing})
        if not lost:
            raise LedgerError("the log has all that these sites have signed: there is no gap to accept")
        heads = sorted(lost.values(), key=lambda head: head.entries)
        parts = [heads[at : at + MOST_HEADS] for at in range(0, len(heads), MOST_HEADS)]
        return [_append(chain, _event(accepted, part[-1], kept, part), accepted) for part in parts]


def accept_at_site(log: AuditLog, name: str, accepted: Acceptance) -> AuditEvent:
    """Writes into a site's log that it signs a log of the server's again that does not extend what it signed.

    Args:
        log: The site's.
        name: The site's name.
        accepted: Who accepts it.

    Raises:
        LedgerError: The site has refused no log since it signed one.
    """
    with log.writing() as chain:
        last = last_signed(chain.entries)
        since = [event for _, event in events_of(chain.entries) if event.kind in ("countersignature", "gap")]
        if last is None or not since or since[-1].outcome != "refused":
            raise LedgerError(
                "this site has refused no log of the server's since it signed one: there is nothing to accept; if the "
                "server was put back just now, let it ask first"
            )
        event = _event(accepted, last, None, ()).model_copy(update={"site": name})
        return _append(chain, event, accepted)


def _gap_of(server: Sequence[Line], site: Sequence[Line], name: str) -> tuple[int, list[Head]]:
    """Returns how many entries of a server's log a site's log confirms, and the heads in it that are not there.

    Raises:
        LedgerError: What is there was signed after what is not.
    """
    held, missing, broken = 0, list[Head](), False
    for _, event in site:
        # From there on the site signs a log that need not extend what it signed before.
        broken = broken and event.kind != "gap"
        head = signed_head(event, name)
        if head is None:
            continue
        if not has_head(server, head):
            missing.append(head)
            broken = True
        elif broken:
            raise LedgerError(
                f"the log lacks entries that {name} has signed and has later ones: it is no older copy but another "
                "log; nothing was accepted"
            )
        else:
            held = head.entries
    return held, missing


def _event(accepted: Acceptance, last: Head, kept: int | None, heads: Sequence[Head]) -> AuditEvent:
    return AuditEvent(
        kind="gap",
        outcome="done",
        actor=accepted.actor,
        reason=accepted.reason,
        log_entries=last.entries,
        kept_entries=kept,
        hashes={"log_head": last.head, "log_tree": last.tree},
        heads=tuple(head.head for head in heads),
    )


def _append(chain: OpenChain, event: AuditEvent, accepted: Acceptance) -> AuditEvent:
    content = accepted_content(event, chain.entries[-1].hash if chain.entries else FIRST)
    signature = sign(accepted.person, PURPOSE, content, accepted.now)
    signed = event.model_copy(update={"signature": signature.model_dump(mode="json")})
    chain.append(signed.body())
    return signed
