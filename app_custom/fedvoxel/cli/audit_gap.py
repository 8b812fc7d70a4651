"""`fedvoxel audit accept-gap`: a person says openly, in a log, that entries of the server's log are lost."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedvoxel.errors import ConfigError, LedgerError
from fedvoxel.records.pem import certificates_in

if TYPE_CHECKING:
    from fedvoxel.governance.gap_acceptance import Acceptance
    from fedvoxel.governance.kit import Kit
    from fedvoxel.records.audit_event import AuditEvent

_LONGEST_REASON = 500


def accept(kit: Path, sign: Path, reason: str, against: list[Path], yes: bool) -> None:
    """Asks, writes what was accepted into the kit's log, and says what comes next; see `audit accept-gap`."""
    from fedvoxel.governance.audit_gap import gaps_in
    from fedvoxel.governance.kit import open_kit
    from fedvoxel.records.audit import AuditLog

    opened = open_kit(kit)
    if opened.kind not in ("server", "site") or (opened.kind == "site" and against):
        raise ConfigError("give the server's kit and the sites' logs (--against), or a site's kit alone")
    acceptance = _acceptance(opened, sign, reason)
    if not yes:
        typer.echo("This stays in the log for ever, and everybody who verifies it is told.")
        typer.confirm(f"Accept, as {acceptance.person.name}, that entries of the server's log are lost?", abort=True)
    log = AuditLog(opened.state)
    written = _at_server(opened, against, acceptance) if opened.kind == "server" else _at_site(opened, acceptance)
    for gap in gaps_in(log.read())[-len(written) :]:
        typer.echo(str(gap))
    typer.echo(
        "Next: each site that refuses to sign accepts it in its own log: fedvoxel audit accept-gap SITE_KIT"
        if opened.kind == "server"
        else "Next: the site signs the server's log again in the next round."
    )


def _acceptance(kit: "Kit", sign: Path, reason: str) -> "Acceptance":
    """Returns who accepts, once it is sure that their signature counts here."""
    from fedvoxel.export.trust import read_trust
    from fedvoxel.governance.audit_gap import check_person
    from fedvoxel.governance.gap_acceptance import Acceptance
    from fedvoxel.records.identity import load_identity

    if not 0 < len(reason.strip()) <= _LONGEST_REASON:
        raise ConfigError(f"--reason: expected 1 to {_LONGEST_REASON} characters, got {len(reason.strip())}")
    person, now = load_identity(sign / "startup"), datetime.now(UTC)
    leaf, *behind = certificates_in(person.certificate.encode())
    trust = read_trust(kit.folder)
    check_person(trust.signer(leaf, now, now, behind), kit.organisation if kit.kind == "site" else None)
    return Acceptance(person, reason.strip(), now, trust)


def _at_server(kit: "Kit", against: list[Path], accepted: "Acceptance") -> "list[AuditEvent]":
    from fedvoxel.governance.audit_report import log_file, verify_log
    from fedvoxel.governance.gap_acceptance import accept_at_server
    from fedvoxel.records.audit import AuditLog

    sites = {}
    for place in against:
        report = verify_log(log_file(place), accepted.trust, None, accepted.now)
        if report.flaws or report.checked.keeper in ("", "server"):
            wrong = report.flaws[0].text if report.flaws else "it is no site's"
            raise LedgerError(f"{place.name}: a log that cannot be trusted says nothing of a gap: {wrong}")
        sites[report.checked.keeper] = report.checked.lines
    if not sites:
        raise ConfigError("expected the log of one site at least (--against), which shows what is missing")
    return accept_at_server(AuditLog(kit.state), sites, accepted)


def _at_site(kit: "Kit", accepted: "Acceptance") -> "list[AuditEvent]":
    from fedvoxel.governance.gap_acceptance import accept_at_site
    from fedvoxel.records.audit import AuditLog
    from fedvoxel.records.identity import load_identity

    return [accept_at_site(AuditLog(kit.state), load_identity(kit.folder / "startup"), accepted)]
