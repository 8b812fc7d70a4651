"""An audit log, and what a check of it found, as text and as JSON."""

import json
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from fedvoxel.governance.audit_check import Line
    from fedvoxel.governance.audit_report import LogReport


def print_log(report: "LogReport", root_given: bool) -> None:
    """Prints what a log holds and how far it is signed for."""
    checked, count = report.checked, len(report.entries)
    if any(flaw.code == "chain" for flaw in report.flaws):
        return
    typer.echo(f"{checked.keeper or 'a log'}: {count} entries, unbroken; head {report.head or '(empty)'}")
    if root_given and checked.keeper == "server":
        for site, entries in sorted(checked.signed_by.items()):
            typer.echo(f"  {site} has signed for entries 1 to {entries}")
        typer.echo(f"  {checked.signatures} signatures count; {count - checked.covered} entries have none yet")
    elif checked.keeper == "server":
        typer.echo("  signatures were not checked: give --root, the consortium's root certificate")
    for gap in checked.gaps:
        typer.echo(f"  {gap}")
    for outcome, times in sorted(checked.not_signed.items()):
        typer.echo(f"  {times} times a signature was {outcome}; see: fedvoxel audit show --kind countersignature")
    for (run, what), times in sorted(_counts(report).items()):
        typer.echo(f"  {run or 'no run'}: {what} {times} times")


def print_flaws(report: "LogReport") -> None:
    """Prints what is wrong with a log, one finding a line."""
    for flaw in report.flaws:
        typer.echo(f"WRONG {flaw.code}{f' (line {flaw.line})' if flaw.line else ''}: {flaw.text}")


def log_as_json(report: "LogReport") -> dict[str, Any]:
    """Returns what was found of a log, as a JSON-like mapping."""
    checked = report.checked
    return {
        "keeper": checked.keeper,
        "entries": len(report.entries),
        "head": report.head,
        "signatures": checked.signatures,
        "signed_by": checked.signed_by,
        "covered": checked.covered,
        "not_signed": checked.not_signed,
        "gaps": [asdict(gap) for gap in checked.gaps],
        "flaws": [{"code": flaw.code, "line": flaw.line, "text": flaw.text} for flaw in report.flaws],
        "events": [{"run_key": run, "what": what, "count": n} for (run, what), n in sorted(_counts(report).items())],
    }


def shown_line(line: "Line", as_json: bool) -> str:
    """Returns one event as a line of text or of JSON."""
    entry, event = line
    if as_json:
        return json.dumps({"line": entry.index + 1, "at": entry.at, "hash": entry.hash, **event.body()})
    who = f"by {event.actor.name} ({event.actor.role or 'no role'})" if event.actor else ""
    where = f"round {event.round}" if event.round is not None else ""
    hashes = " ".join(f"{name}={value[:12]}" for name, value in event.hashes.items())
    loss = event.spent
    spent = f"epsilon={loss.epsilon:g} (each {loss.unit}, delta={loss.delta:g})" if loss else ""
    parts = (event.site, event.run_key, where, event.task, who, event.reason, spent, hashes)
    return f"{entry.index + 1} {entry.at[:19]}Z {event.kind} {event.outcome}: " + "; ".join(filter(None, parts))


def _counts(report: "LogReport") -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for _, event in report.checked.lines:
        about = f"{event.site} " if event.site else ""
        found[event.run_key, f"{about}{event.kind} {event.outcome}"] += 1
    return found
