"""A person accepts a gap in the server's audit log: openly, signed, and of exactly what is missing at that moment."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime

from fedvoxel.errors import LedgerError
from fedvoxel.export.signature import sign
from fedvoxel.export.trust import Trust
from fedvoxel.governance.audit_check import check_log
from fedvoxel.governance.audit_comparison import signed_head
from fedvoxel.governance.audit_gap import PURPOSE, Line, accepted_content, check_gap
from fedvoxel.governance.countersigning import Head, heads_of, last_signed, shown_another
from fedvoxel.records.audit import AuditLog, events_of
from fedvoxel.records.audit_event import MOST_HEADS, Actor, AuditEvent
from fedvoxel.records.chain import OpenChain
from fedvoxel.records.chain_entry import FIRST, Entry
from fedvoxel.records.identity import Identity, organisation_of, role_of
from fedvoxel.records.pem import certificate_in


@dataclass(frozen=True)
class Acceptance:
    """Is who accepts, and why, in words that stay in the log.

    Attributes:
        person: Who does.
        reason: Why.
        now: The present (aware).
        trust: By what the person's certificate has to count, as for those who will verify.
    """

    person: Identity
    reason: str
    now: datetime
    trust: Trust

    @property
    def actor(self) -> Actor:
        """Is the person, as the certificate says.

        Raises:
            LedgerError: It is no person's.
        """
        certificate = certificate_in(self.person.certificate.encode())
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
            and not the earlier ones; or the log was replaced, or a gap accepted, meanwhile.
        ConsortiumError: The person may not accept it.
        PackageError: The person's certificate does not count.
    """
    # A running job has to write too: what takes long is worked out while nobody waits for the lock.
    entries = [entry for entry, _ in log.read()]
    kept, heads = _lost(entries, sites, accepted)
    with log.writing() as chain:
        _check_still_so(entries, chain.entries)
        parts = [heads[at : at + MOST_HEADS] for at in range(0, len(heads), MOST_HEADS)]
        return [_append(chain, _event(accepted, part[-1], kept, part), "server", accepted) for part in parts]


def accept_at_site(log: AuditLog, site: Identity, accepted: Acceptance) -> AuditEvent:
    """Writes into a site's log that it signs a log of the server's again that does not extend what it signed.

    Args:
        log: The site's.
        site: The site, whose certificate says of which hospital it is.
        accepted: Who accepts it.

    Raises:
        LedgerError: What the site did last is not that it refused a log which does not begin with what it signed.
        ConsortiumError: The person may not accept it.
        PackageError: The person's certificate or the site's does not count.
    """
    with log.writing() as chain:
        last = last_signed(chain.entries)
        since = [event for _, event in events_of(chain.entries) if event.kind in ("countersignature", "gap")]
        if last is None or not since or not shown_another(since[-1]):
            raise LedgerError(
                "the last log of the server's that this site was shown is none that it refused because what it has "
                "signed is missing in it: there is nothing to accept; if the server was put back just now, let it ask "
                "first, a second time if it was shown no proof"
            )
        about = {"site": site.name, "site_certificate": site.certificate}
        return _append(chain, _event(accepted, last, None, ()).model_copy(update=about), site.name, accepted)


def _lost(
    entries: Sequence[Entry], sites: Mapping[str, Sequence[Line]], accepted: Acceptance
) -> tuple[int, list[Head]]:
    """Returns how many entries of a server's log are left from before a gap, and the heads that are not there any more.

    Raises:
        LedgerError: There is no gap, or the log is another one.
    """
    known = check_log(entries, accepted.trust, accepted.now).lost
    signed = {name: [(event, signed_head(event, name)) for _, event in lines] for name, lines in sites.items()}
    sizes = {head.entries for events in signed.values() for _, head in events if head is not None}
    held_heads = frozenset(heads_of(entries, sizes).values())
    kept, lost = len(entries), dict[str, Head]()
    for name, events in signed.items():
        held, missing = _gap_of(held_heads, events, name)
        missing = [head for head in missing if head.head not in known]
        if missing:
            kept = min(kept, held)
            lost.update({head.head: head for head in missing})
    if not lost:
        raise LedgerError("the log has all that these sites have signed: there is no gap to accept")
    return kept, sorted(lost.values(), key=lambda head: head.entries)


def _check_still_so(read: Sequence[Entry], now: Sequence[Entry]) -> None:
    """Refuses a log that is not what was looked at and perhaps events after it; the hash of one entry is of all."""
    if read and (len(now) < len(read) or now[len(read) - 1].hash != read[-1].hash):
        raise LedgerError("the log was replaced while it was looked at; nothing was accepted: do it again")
    if any(entry.body.get("kind") == "gap" for entry in now[len(read) :]):
        raise LedgerError("another gap was accepted while the log was looked at; nothing was accepted: do it again")


def _gap_of(held_heads: Set[Head], site: Sequence[tuple[AuditEvent, Head | None]], name: str) -> tuple[int, list[Head]]:
    """Returns how many entries of a server's log a site's log confirms, and the heads in it that are not there.

    Args:
        held_heads: Heads that the server's log has, of all that sites have signed.
        site: The site's events, each with the head that it signed.
        name: The site's name.

    Raises:
        LedgerError: What is there was signed after what is not.
    """
    held, missing, broken = 0, list[Head](), False
    for event, head in site:
        # From there on the site signs a log that need not extend what it signed before.
        broken = broken and event.kind != "gap"
        if head is None:
            continue
        if head not in held_heads:
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


def _append(chain: OpenChain, event: AuditEvent, keeper: str, accepted: Acceptance) -> AuditEvent:
    previous = chain.entries[-1].hash if chain.entries else FIRST
    signature = sign(accepted.person, PURPOSE, accepted_content(event, previous), accepted.now)
    signed = event.model_copy(update={"signature": signature.model_dump(mode="json")})
    # Nothing is written for ever that nobody would count.
    check_gap(signed, previous, keeper, accepted.trust, accepted.now)
    chain.append(signed.body())
    return signed
