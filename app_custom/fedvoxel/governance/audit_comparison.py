"""A server's audit log held against a site's: each keeps what the other cannot take back.

The site's log has every head of the server's that the site has signed, and the server's log the head that the site's
had at that time. Both say what the site answered in a round, by the same hash of the same arrays.
"""

from collections.abc import Sequence

from fedvoxel.governance.audit_check import Checked, Flaw, Line
from fedvoxel.governance.countersigning import Head, heads_of, shown_in
from fedvoxel.records.audit_event import AuditEvent

_Question = tuple[str, str, int | None]


def compare(server: Checked, site: Checked) -> tuple[list[Flaw], list[Flaw]]:
    """Returns what is wrong in a server's log and in a site's, as each shows of the other; lines are each log's own.

    Args:
        server: The server's log, as it was checked.
        site: The site's.
    """
    name = site.keeper
    in_server = _signed_by_site(server, site.lines, name)
    in_site = _seen_by_server(server.lines, site.lines, name)
    missing, differing = _answers(server.lines, site.lines, name)
    return in_server + missing, in_site + differing


def _signed_by_site(server: Checked, site: Sequence[Line], name: str) -> list[Flaw]:
    """Finds heads that the site has signed and that the server's log neither has nor, signed, says that it lost."""
    signed = [(entry, head) for entry, event in site if (head := signed_head(event, name)) is not None]
    held = heads_of([entry for entry, _ in server.lines], {head.entries for _, head in signed})
    flaws, lost, count = [], server.lost, len(server.lines)
    for entry, head in signed:
        if head.head in lost or held.get(head.entries) == head:
            continue
        where = f"line {entry.index + 1} of {name}'s log"
        if head.entries > count:
            left = f"{name} has signed {head.entries} entries ({where}), and {count} are left"
            flaws.append(Flaw("truncated", 0, left))
        else:
            others = f"{name} has signed others than the first {head.entries} entries ({where})"
            flaws.append(Flaw("rewritten", head.entries, others))
    return flaws


def signed_head(event: AuditEvent, name: str) -> Head | None:
    """Returns the head of the server's log that an event in the log of site `name` says that it has signed."""
    if event.kind != "countersignature" or event.outcome != "done" or not event.log_entries or event.site != name:
        return None
    return shown_in(event)


def _seen_by_server(server: Sequence[Line], site: Sequence[Line], name: str) -> list[Flaw]:
    """Finds heads of the site's log that the site has signed, and that its log does not have any more."""
    flaws = []
    for entry, event in server:
        size, signed = event.site_entries, event.kind == "countersignature" and event.signature is not None
        if not signed or event.site != name or not size:
            continue
        where = f"line {entry.index + 1} of the server's log"
        if size > len(site):
            flaws.append(
                Flaw("truncated", 0, f"{name} had {size} entries when it signed ({where}), {len(site)} are left")
            )
        elif site[size - 1][0].hash != event.hashes.get("site_head"):
            flaws.append(
                Flaw("rewritten", size, f"{name} had others than these {size} entries when it signed ({where})")
            )
    return flaws


def _answers(server: Sequence[Line], site: Sequence[Line], name: str) -> tuple[list[Flaw], list[Flaw]]:
    """Finds updates that one log has and the other has not, or not the same."""
    left, heard = _left(site), [line for line in server if _is_update(line) and line[1].site == name]
    known, closed = {_question(line) for line in heard}, {_question(line) for line in server if line[1].kind == "round"}
    missing = [
        Flaw("removed", 0, f"nothing is said of the answer to round {key[2]} of {key[0]} that left {name}")
        for key in left
        if key in closed and key not in known
    ]
    differing = []
    for entry, event in heard:
        received, sent = event.hashes.get("update"), left.get(_question((entry, event)), set())
        if event.outcome != "done" or received is None or received in sent or (sent and event.reason):
            continue
        which = f"the update that the server has of round {event.round} of {event.run_key}"
        said = f"{name} sent another than {which}" if sent else f"nothing is said of {which}"
        where = f"line {entry.index + 1} of the server's log"
        differing.append(Flaw("differs" if sent else "removed", 0, f"{said} ({where})"))
    return missing, differing


def _left(site: Sequence[Line]) -> dict[_Question, set[str]]:
    """Returns the hashes of the updates that left for each round."""
    left: dict[_Question, set[str]] = {}
    for line in site:
        if _is_update(line) and line[1].outcome == "done":
            left.setdefault(_question(line), set()).add(line[1].hashes.get("answer", ""))
    return left


def _is_update(line: Line) -> bool:
    return line[1].kind == "answer" and line[1].task == "train"


def _question(line: Line) -> _Question:
    event = line[1]
    return event.run_key, event.job_id, event.round
