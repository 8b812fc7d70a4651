"""The record of incidents of one kit: a chain of signed statements in `state/incidents/`, and what follows from it.

Who may say what goes by the role in the certificate. At the server the consortium's people speak: anybody with a role
but a member declares, notes and closes; the project's administrator alone stops all jobs or keeps a site out. At a site
its own hospital's people do: all but members declare, note and close; its administrator stops all jobs.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from fedvoxel.config import parse_config
from fedvoxel.errors import ConfigError, ConsortiumError, JobError, LedgerError, PackageError
from fedvoxel.export.signature import Signature, named_signer, sign, verify
from fedvoxel.export.trust import Role, Signer, read_trust
from fedvoxel.governance.incidents.incident import Incident, Said, kept_out
from fedvoxel.governance.incidents.statement import PURPOSE, IncidentStatement, Word
from fedvoxel.governance.incidents.switches import (
    halt,
    is_halted,
    lift,
    quarantined,
    set_quarantined,
)
from fedvoxel.governance.kit import Kit
from fedvoxel.governance.shut_out import read_seen
from fedvoxel.records.audit import AuditLog
from fedvoxel.records.audit_event import Actor, AuditEvent
from fedvoxel.records.chain import Chain
from fedvoxel.records.chain_entry import FIRST, Entry
from fedvoxel.records.chain_lock import require_owner
from fedvoxel.records.identity import Identity, leads_to, load_roots
from fedvoxel.records.pem import certificates_in
from fedvoxel.records.revocation import LIST_FILE, kept_lists

FOLDER = "incidents"
RECORD = f"{FOLDER}/incidents.jsonl"
"""The folder of the record, and the record, in `state/`."""

_SPEAK: frozenset[Role] = frozenset({"project_admin", "org_admin", "lead"})
_SWITCH: dict[str, Role] = {"server": "project_admin", "site": "org_admin"}
_ADMINISTRATOR = {"server": "a project_admin", "site": "an org_admin"}
_SWITCHES: tuple[Word, ...] = ("halted", "lifted", "quarantined", "released")
_ANY = "00000000-000000"
_COMMANDS: dict[Word, str] = {
    "declared": "declare",
    "noted": "note",
    "halted": "halt",
    "lifted": "lift",
    "quarantined": "quarantine",
    "released": "release",
    "closed": "close",
}


class IncidentLog:
    """Is the record of one kit on disk."""

    def __init__(self, kit: Kit) -> None:
        """Touches no file.

        Raises:
            ConsortiumError: The kit is a person's or a relay's, which run no jobs.
        """
        if kit.kind not in _SWITCH:
            raise ConsortiumError(f"kit {kit.name} is a {kit.kind}'s: incidents are kept with the server or a site")
        self._kit = kit
        self._chain = Chain(kit.state / RECORD)

    def read(self, now: datetime) -> tuple[Incident, ...]:
        """Returns all incidents, in the order in which they were declared.

        Args:
            now: The present (aware).

        Raises:
            LedgerError: The record cannot be trusted, or a line of it is no statement that somebody signed.
            ConsortiumError: The kit's root or its revocation list cannot be used.
        """
        return self._incidents(self._chain.read(), now)

    def stop(self, identity: Identity, now: datetime) -> None:
        """Stops all jobs at once, before anything is read, waited for or written; what is said of it comes after.

        Neither an expired certificate nor a revocation list that is out of date keeps the right person from that.

        Raises:
            ConsortiumError: The person may not.
            OSError: The switch cannot be set.
        """
        statement = IncidentStatement(incident=_ANY, keeper=self._kit.name, word="halted", text="stop")
        signature = sign(identity, PURPOSE, statement.content, now)
        try:
            self._signer(signature, statement, now)
        except ConsortiumError:
            if self._may_not_stop(signature, statement):
                raise
        halt(self._kit.state)

    def _may_not_stop(self, signature: Signature, statement: IncidentStatement) -> bool:
        """Says whether a person may not stop all jobs, by role and root alone, and by every list that there is."""
        revoked: set[int] = set()
        chain = certificates_in(signature.certificate.encode("ascii"))
        signer = named_signer(signature, PURPOSE, statement.content)
        if not any(leads_to(chain, root) for root in load_roots(self._kit.root_certificate)):
            return True
        with suppress(ConsortiumError):
            revoked = {each.serial_number for one in kept_lists(self._kit.startup / LIST_FILE) for each in one}
        return signer.serial_number in revoked or _objection(self._kit, signer, "halted") is not None

    def say(self, identity: Identity, statement: IncidentStatement, now: datetime) -> None:
        """Does what a statement says, signs it for its place in the record, and keeps it; `stop` goes before "halted".

        Raises:
            ConsortiumError: The person may not say that here.
            JobError: There is no such incident, it is over, or it holds something that has to be undone first.
            LedgerError: The record, or the audit log, cannot be trusted or written.
            OSError: A switch cannot be set.
        """
        if statement.word == "halted":
            self.stop(identity, now)
        require_owner(self._kit.state / FOLDER, "the record of incidents")
        signer = self._signer(sign(identity, PURPOSE, statement.content, now), statement, now)
        with self._chain.writing() as chain:
            incidents = self._incidents(chain.entries, now)
            self._check(statement, incidents)
            last = chain.entries[-1].hash if chain.entries else FIRST
            placed = statement.model_copy(update={"previous": last})
            if placed.word == "quarantined":
                set_quarantined(self._kit.state, {*kept_out(incidents), placed.site})
            self._audit(signer, placed)
            signature = sign(identity, PURPOSE, placed.content, now)
            said = placed.model_dump(mode="json", exclude_defaults=True)
            chain.append({"statement": said, "signature": signature.model_dump(mode="json")})
            self._undo(placed, self._incidents(chain.entries, now))

    def _incidents(self, entries: Sequence[Entry], now: datetime) -> tuple[Incident, ...]:
        trust = read_trust(self._kit.folder) if entries else None
        found: dict[str, list[Said]] = {}
        for entry in entries:
            one = _said(entry, trust, now)
            if one.statement.keeper != self._kit.name:
                raise _broken(entry, f"it is of the record of {one.statement.keeper}")
            if (one.statement.word == "declared") == (one.statement.incident in found):
                raise _broken(entry, "an incident begins with its declaration, and is declared once")
            found.setdefault(one.statement.incident, []).append(one)
        return tuple(Incident(tuple(said)) for said in found.values())

    def _signer(self, signature: Signature, statement: IncidentStatement, now: datetime) -> Signer:
        try:
            signer = verify(signature, PURPOSE, statement.content, read_trust(self._kit.folder), now)
        except PackageError as problem:
            raise ConsortiumError(f"your certificate does not count here: {problem}") from None
        reason = _objection(self._kit, signer, statement.word)
        if reason:
            raise ConsortiumError(f"{signer.name} cannot say that here: {reason}")
        return signer

    def _check(self, statement: IncidentStatement, incidents: Sequence[Incident]) -> None:
        """Checks that a statement fits what was said before."""
        if statement.keeper != self._kit.name:
            raise JobError(f"the statement is for the record of {statement.keeper}, and this is {self._kit.name}'s")
        known = next((one for one in incidents if one.name == statement.incident), None)
        if statement.word == "declared":
            if known:
                raise JobError(f"incident {statement.incident} was declared already")
            return
        if known is None or not known.is_open:
            what = "no incident of that name" if known is None else "that incident is over"
            raise JobError(f"{what}: {statement.incident}; see: fedvoxel incident show")
        if statement.word == "closed" and (known.halts or known.keeps_out):
            held = ", ".join([*(["all jobs are stopped"] if known.halts else []), *sorted(known.keeps_out)])
            raise JobError(f"it cannot be closed while it keeps out or stops ({held}); lift or release that first")
        if statement.word == "released" and statement.site not in known.keeps_out:
            raise JobError(f"incident {statement.incident} does not keep out {statement.site}")
        seen = read_seen(self._kit.state)
        if statement.word == "quarantined" and seen and statement.site not in seen:
            raise JobError(f"no site called {statement.site} has ever come to this server; see its name in: audit show")

    def _audit(self, signer: Signer, statement: IncidentStatement) -> None:
        """Has the kit's log know before anything else is written."""
        event = AuditEvent(
            kind="command",
            outcome="done",
            actor=Actor(name=signer.name, role=signer.role or "person", organisation=signer.organisation),
            task=f"incident {_COMMANDS[statement.word]}",
            site=statement.site or (self._kit.name if self._kit.kind == "site" else ""),
            reason=f"{statement.incident}: {statement.text}",
        )
        AuditLog(self._kit.state).record([event])

    def _undo(self, statement: IncidentStatement, incidents: Sequence[Incident]) -> None:
        if statement.word == "lifted" and not any(one.halts for one in incidents):
            lift(self._kit.state)
        if statement.word == "released":
            set_quarantined(self._kit.state, kept_out(incidents))


def standing(kit: Kit, incidents: Sequence[Incident]) -> dict[str, Any]:
    """Returns how the switches stand, and whether the record says so too."""
    try:
        out: list[str] | None = sorted(quarantined(kit.state))
    except JobError:
        out = None
    halted = is_halted(kit.state)
    agrees = halted == any(one.halts for one in incidents) and out == sorted(kept_out(incidents))
    return {"halted": halted, "quarantined": out, "as_recorded": agrees}


def _said(entry: Entry, trust: Any, now: datetime) -> Said:
    try:
        statement = parse_config(IncidentStatement, entry.body["statement"], "the statement")
        signature = parse_config(Signature, entry.body["signature"], "the signature")
        signer = named_signer(signature, PURPOSE, statement.content)
    except (ConfigError, PackageError, KeyError) as problem:
        raise _broken(entry, str(problem)) from None
    if statement.previous != entry.previous:
        raise _broken(entry, "it was signed for another place")
    try:
        verify(signature, PURPOSE, statement.content, trust, now)
        counts = True
    except PackageError:
        counts = False
    return Said(statement, str(signer), signature.signed_at, counts)


def _broken(entry: Entry, why: str) -> LedgerError:
    return LedgerError(f"line {entry.index + 1} of the record of incidents does not hold: {why}")


def _objection(kit: Kit, signer: Signer, word: Word) -> str | None:
    """Returns why somebody may not say something; None where they may."""
    if signer.role is None:
        return "a person does, with a kit of their own"
    if signer.role not in _SPEAK:
        return f"people with these roles do: {', '.join(sorted(_SPEAK))}; ask one of them"
    if kit.kind == "site" and signer.organisation != kit.organisation:
        return f"it is the record of a hospital, and people of {kit.organisation} speak there"
    if kit.kind == "site" and word in ("quarantined", "released"):
        return "the server keeps sites out: give its kit"
    if word in _SWITCHES and signer.role != _SWITCH[kit.kind]:
        return f"{_ADMINISTRATOR[kit.kind]} stops jobs here, keeps sites out, and undoes that"
    return None
