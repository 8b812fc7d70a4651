"""What it means that a person has accepted a gap in the server's audit log, on the server's side and on a site's.

A server that lost its log, or put an older copy back, cannot get back what was in it, and what sites have signed says
so for ever. A person can say openly that it is so: in the server's log, which of the signed heads are not there any
more; in a site's, that the site signs a log of the server's again that does not extend what it signed. Nothing else is
excused by it, and whoever verifies is told. In the server's log only the operator says so, in a site's the hospital's
IT, and it counts only for who has checked the signature.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from fedvoxel.config import parse_config
from fedvoxel.errors import ConsortiumError, LedgerError
from fedvoxel.export.signature import Signature, verify
from fedvoxel.export.trust import Role, Signer, Trust
from fedvoxel.records.audit_event import AuditEvent
from fedvoxel.records.canonical import canonical_json
from fedvoxel.records.chain_entry import Entry
from fedvoxel.records.pem import certificates_in

PURPOSE = "acceptance of a gap in an audit log"

_AT_SERVER: Role = "project_admin"
"""The role of who accepts a gap in the server's log: who operates the server."""

_AT_SITE: Role = "org_admin"
"""The role of who accepts one in a site's log: who operates the hospital's own site."""

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
    """Returns the heads, signed by sites, of which a server's log says that it has them no more.

    Args:
        lines: Gaps that `check_gap` has let pass; nothing else excuses a head.
    """
    return frozenset(head for _, event in lines if event.kind == "gap" for head in event.heads)


def accepted_content(event: AuditEvent, previous: str) -> bytes:
    """Returns what a person signs: all that the event says, and the entry that it comes after.

    Args:
        event: The acceptance; its signature is not part of it.
        previous: The hash of that entry, so that it counts at this place of this log only.
    """
    unsigned = event.model_copy(update={"signature": None})
    return canonical_json({"previous": previous, "event": unsigned.body()})


def check_gap(event: AuditEvent, previous: str, keeper: str, trust: Trust, now: datetime) -> None:
    """Refuses an acceptance that a person who may accept has not signed at this place of this log.

    Args:
        event: The acceptance.
        previous: The hash of the entry that it comes after.
        keeper: Whose log it is: "server", or a site's name.
        trust: Whose signatures count.
        now: The present (aware).

    Raises:
        ConfigError: It has no signature.
        PackageError: It is another's, or of something else, or a certificate does not count.
        ConsortiumError: Who has signed may not accept this gap, or the revocation list is out of date.
        LedgerError: It names somebody else than who signed, or no person, or is no gap of this log.
    """
    signature = parse_config(Signature, event.signature, "the signature of an accepted gap")
    signer = verify(signature, PURPOSE, accepted_content(event, previous), trust, now)
    actor = event.actor
    said = (actor.name, actor.role, actor.organisation) if actor else None
    if signer.role is None or said != (signer.name, signer.role, signer.organisation):
        raise LedgerError(f"a gap that was accepted by somebody else than it says: {signer} has signed it")
    if keeper == "server":
        check_person(signer, None)
        return
    if event.site != keeper or event.heads:
        raise LedgerError(f"a gap of another log than {keeper or 'this'}'s")
    check_person(signer, _organisation_of_site(event, trust, signature.at, now))


def check_person(signer: Signer, site_organisation: str | None) -> None:
    """Refuses a person who may not accept a gap: in the server's log the operator may, in a site's the hospital's IT.

    Args:
        signer: The person.
        site_organisation: The organisation in the site's certificate; None for the server's log.

    Raises:
        ConsortiumError: This one may not.
    """
    if site_organisation is None:
        if signer.role != _AT_SERVER:
            raise ConsortiumError(
                f"{signer} may not accept a gap in the server's log; the consortium's {_AT_SERVER} does"
            )
        return
    if not site_organisation or signer.organisation != site_organisation:
        raise ConsortiumError(
            f"a person of this hospital ({site_organisation or 'not named'}) accepts it; {signer} is of another one"
        )
    if signer.role != _AT_SITE:
        raise ConsortiumError(f"{signer} may not accept a gap in the site's log; the hospital's {_AT_SITE} does")


def _organisation_of_site(event: AuditEvent, trust: Trust, at: datetime, now: datetime) -> str:
    """Returns the organisation of the site in whose log a gap is, as the consortium's root attests it."""
    try:
        leaf, *behind = certificates_in(event.site_certificate.encode())
    except ValueError:
        raise LedgerError("a gap in a site's log comes with no certificate of the site that can be read") from None
    site = trust.signer(leaf, at, now, behind)
    if site.role is not None or site.name != event.site:
        raise LedgerError(f"a gap in the log of {event.site} comes with the certificate of {site}")
    return site.organisation
