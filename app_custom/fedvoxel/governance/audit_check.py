"""Whether an audit log is what was written, found offline: by its chain, by what sites signed, and by a second log.

The chain alone shows that a line was changed, dropped, exchanged or put in, and that lines were cut off while the head
was not. Whoever also works out new hashes and a new head is found by the sites' signatures in the log, and whoever cuts
off the newest entries with their signatures, by the log of any site: it keeps every head that it has signed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from fedvoxel.config import parse_config
from fedvoxel.errors import FedVoxelError
from fedvoxel.export.signature import Signature
from fedvoxel.export.trust import Trust
from fedvoxel.governance.audit_gap import Gap, accepted_heads, check_gap, gaps_in
from fedvoxel.governance.countersigning import Head, check_signature, heads_of, shown_in, signed_content
from fedvoxel.records.audit import events_of
from fedvoxel.records.audit_event import AuditEvent
from fedvoxel.records.chain_entry import FIRST, Entry

Line = tuple[Entry, AuditEvent]


@dataclass(frozen=True)
class Flaw:
    """Is something that cannot be in a log that is what was written.

    Attributes:
        code: "rewritten" (entries are others than were signed), "unsigned" (a signature is none), "broken_run" (a
            round's model is not the one before), "truncated" (what was signed is not there any more), "removed" (what
            one log says of a site, the other does not), "differs" (both say something else), "unchecked" (a gap is said
            to be accepted, and no root was given to check it by).
        line: The line in the log, from 1; 0 for the log as a whole.
    """

    code: str
    line: int
    text: str


@dataclass
class Checked:
    """Is what a check of one log has found.

    Attributes:
        lines: The log's lines.
        flaws: What is wrong.
        signed_by: Each site whose signatures count, and how many entries the newest of them covers.
        signatures: How many signatures were checked.
        not_signed: What sites have not signed, by how often: refused, missing, failed.
        accepted: The lines of gaps whose acceptance was checked and counts.
    """

    lines: list[Line]
    flaws: list[Flaw] = field(default_factory=list)
    signed_by: dict[str, int] = field(default_factory=dict)
    signatures: int = 0
    not_signed: dict[str, int] = field(default_factory=dict)
    accepted: list[Line] = field(default_factory=list)

    @property
    def covered(self) -> int:
        """Is how many entries at least one counting signature covers."""
        return max(self.signed_by.values(), default=0)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Are the gaps in the server's log that somebody has accepted, and may."""
        return gaps_in(self.accepted)

    @property
    def lost(self) -> frozenset[str]:
        """Are the heads that sites have signed and whose loss somebody has accepted, and may."""
        return accepted_heads(self.accepted)

    @property
    def keeper(self) -> str:
        """Is "server", or the name of the site whose log this is; empty where the log does not tell."""
        signs = {event.site for _, event in self.lines if event.kind == "countersignature" and event.signature is None}
        if any(_is_the_servers(event) for _, event in self.lines):
            return "server"
        about = signs or {event.site for _, event in self.lines if event.site}
        return next(iter(about)) if len(about) == 1 else ""


def check_log(entries: Sequence[Entry], trust: Trust | None, now: datetime) -> Checked:
    """Checks entries of a chain that is whole by itself.

    Args:
        entries: The log's.
        trust: Whose signatures count; None checks no signature, and nothing counts as signed or accepted.
        now: The present (aware).

    Raises:
        LedgerError: A line is no event of this version.
    """
    checked = Checked(events_of(entries))
    named = {event.log_entries for _, event in checked.lines if event.kind == "countersignature" and event.log_entries}
    heads = heads_of(entries, named)
    for entry, event in checked.lines:
        if event.kind == "gap":
            _check_gap(checked, (entry, event), trust, now)
        if event.kind != "countersignature":
            continue
        if event.outcome != "done":
            checked.not_signed[event.outcome] = checked.not_signed.get(event.outcome, 0) + 1
        elif event.signature is not None:
            _check_signed(checked, heads, (entry, event), trust, now)
    checked.flaws += _broken_runs(checked.lines)
    checked.flaws.sort(key=lambda flaw: flaw.line)
    return checked


def _check_signed(checked: Checked, heads: dict[int, Head], line: Line, trust: Trust | None, now: datetime) -> None:
    """Checks a site's signature in the server's log: of what stands before it, and the site's own."""
    entry, event = line
    try:
        shown = shown_in(event)
        if shown.entries > entry.index or heads.get(shown.entries) != shown:
            checked.flaws.append(_flaw("rewritten", entry, f"{event.site} has signed other entries before this one"))
            return
        if trust is None:
            return
        signature = parse_config(Signature, event.signature, "the signature")
        own = event.site_entries or 0, event.hashes.get("site_head", FIRST)
        check_signature(signed_content(shown, own), signature, event.site, trust, now)
    except FedVoxelError as error:
        checked.flaws.append(_flaw("unsigned", entry, f"{event.site}'s signature does not count: {error}"))
        return
    checked.signatures += 1
    checked.signed_by[event.site] = max(shown.entries, checked.signed_by.get(event.site, 0))


def _is_the_servers(event: AuditEvent) -> bool:
    signed_by_site = event.kind == "countersignature" and event.signature is not None
    return event.kind in ("round", "run") or signed_by_site or event.kept_entries is not None


def _check_gap(checked: Checked, line: Line, trust: Trust | None, now: datetime) -> None:
    entry, event = line
    if trust is None:
        checked.flaws.append(
            _flaw("unchecked", entry, "an accepted gap counts only with --root, which checks who signed")
        )
        return
    try:
        check_gap(event, entry.previous, checked.keeper, trust, now)
    except FedVoxelError as error:
        checked.flaws.append(_flaw("unsigned", entry, f"an accepted gap does not count: {error}"))
        return
    checked.accepted.append(line)


def _broken_runs(lines: Sequence[Line]) -> list[Flaw]:
    """Finds rounds that do not begin with the model that the run had, or that are missing between two others."""
    flaws, rounds, models = [], dict[str, int](), dict[str, str]()
    for entry, event in lines:
        run = event.run_key
        if event.kind == "run" and event.outcome == "started":
            rounds.pop(run, None)
        if event.kind == "run" and event.outcome in ("started", "resumed") and "model" in event.hashes:
            models[run] = event.hashes["model"]
        if event.kind != "round" or event.outcome != "done" or event.round is None:
            continue
        if models.get(run, event.hashes.get("model_before")) != event.hashes.get("model_before"):
            flaws.append(_flaw("broken_run", entry, f"round {event.round} of {run} begins with another model"))
        if event.round > rounds.get(run, event.round - 1) + 1:
            flaws.append(_flaw("broken_run", entry, f"rounds of {run} are missing before round {event.round}"))
        rounds[run], models[run] = event.round, event.hashes.get("model", "")
    return flaws


def _flaw(code: str, entry: Entry, text: str) -> Flaw:
    return Flaw(code, entry.index + 1, text)
