"""How certificates and what is to be done about them are shown: tables for people, rows for scripts."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from rich.console import Console
from rich.table import Table

from fedvoxel.records.revocation import serial_text

if TYPE_CHECKING:
    from fedvoxel.governance.certificate_register import Issued, State
    from fedvoxel.governance.leaving import Step

_COLOURS = {"valid": "green", "expires soon": "yellow", "replaced": "dim", "expired": "red", "revoked": "red"}


def show_states(rows: list[tuple["Issued", "State"]]) -> None:
    """Shows every certificate and what it is worth."""
    table = Table(title="Certificates")
    for heading in ("name", "organisation", "what", "serial", "valid until", "state"):
        table.add_column(heading, overflow="fold")
    for one, state in rows:
        holder, ends = one.holder, f"{one.certificate.not_valid_after_utc:%Y-%m-%d}"
        said = f"[{_COLOURS[state]}]{state}[/]" + (f" ({one.revoked.reason})" if one.revoked else "")
        table.add_row(holder.name, holder.organisation, holder.role or holder.kind, one.serial, ends, said)
    Console().print(table)


def show_steps(steps: list["Step"]) -> None:
    """Shows what is to be done, and what of it is."""
    table = Table(title="When somebody leaves", show_lines=True)
    for heading in ("", "what", "how"):
        table.add_column(heading, overflow="fold")
    for step in steps:
        mark = {True: "[green]done[/]", False: "[yellow]open[/]", None: "look"}[step.done]
        table.add_row(mark, step.what, step.how)
    Console().print(table)


def row(one: "Issued") -> dict[str, Any]:
    """Returns an issued certificate as a JSON-like mapping."""
    revoked = one.revoked
    return {
        "name": one.holder.name,
        "organisation": one.holder.organisation,
        "kind": one.holder.kind,
        "role": one.holder.role,
        **row_of_certificate(one.certificate),
        "revoked": {"at": revoked.at.isoformat(), "reason": revoked.reason} if revoked else None,
    }


def row_of_certificate(certificate: x509.Certificate) -> dict[str, str]:
    """Returns a certificate's number and times as a JSON-like mapping."""
    return {
        "serial": serial_text(certificate.serial_number),
        "valid_from": certificate.not_valid_before_utc.isoformat(),
        "valid_until": certificate.not_valid_after_utc.isoformat(),
    }


def put(places: list[Path]) -> str:
    """Says where something was put."""
    return f"Put into {len(places)} kits of this workspace." if places else ""


def say(*lines: str) -> None:
    """Prints lines as they are: rich would make a letter of the `:AB:` in a fingerprint."""
    for line in filter(None, lines):
        Console(emoji=False).print(line, soft_wrap=True, highlight=False, markup=False)
