"""`fedvoxel audit …`: checks a server's or a site's log of what happened, shows it, and hands it on."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from fedvoxel.cli.audit_view import log_as_json, print_flaws, print_log, shown_line
from fedvoxel.errors import ConfigError, LedgerError

if TYPE_CHECKING:
    from fedvoxel.export.trust import Trust

app = typer.Typer(no_args_is_help=True, help="Check, show and export the audit log of a server or a site.")

Place = Annotated[
    Path, typer.Argument(help="A log (audit.jsonl with its head.json beside it), or the kit.", show_default=False)
]
_Root = Annotated[
    Path | None,
    typer.Option(
        "--root",
        envvar="FEDVOXEL_ROOT",
        help="The consortium's root certificate, or a kit; of a kit as the log's place, its own without this.",
    ),
]
_Crl = Annotated[Path | None, typer.Option("--crl", envvar="FEDVOXEL_CRL", help="The root's revocation list.")]
_Run = Annotated[str | None, typer.Option("--run", help="Only of this run.")]
_Site = Annotated[str | None, typer.Option("--site", help="Only about this site.")]
_Kind = Annotated[str | None, typer.Option("--kind", help="Only events of this kind: job, run, round, answer …")]
_Since = Annotated[str | None, typer.Option("--since", help="Only from this time on: 2026-11-29 or 2026-11-29T16:00Z.")]
_Until = Annotated[str | None, typer.Option("--until", help="Only before this time.")]


@app.command(epilog="Example: fedvoxel audit verify server.consortium.example --against hospital-a")
def verify(
    place: Place,
    root: _Root = None,
    crl: _Crl = None,
    against: Annotated[
        list[Path] | None, typer.Option("--against", help="The other side's log or kit: a site's for a server's.")
    ] = None,
    noted: Annotated[str | None, typer.Option(help="Hash of an entry that somebody outside has noted.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")] = False,
) -> None:
    """Checks offline that no entry of a log was removed, altered, exchanged, put in or cut off.

    With --root the sites' signatures are checked: they show a log whose hashes were worked out anew. With --against the
    newest entries too cannot be missing. A gap that somebody accepted counts only with --root. Exit code 12 if the log
    cannot be trusted.
    """
    from fedvoxel.governance.audit_report import hold_together, log_file, verify_log

    trust, now = _trust(place, root, crl), datetime.now(UTC)
    report = verify_log(log_file(place), trust, noted, now)
    others = [verify_log(log_file(other), trust, None, now) for other in against or ()]
    if others and report.entries and all(other.entries for other in others):
        hold_together(report, others)
    found = [*report.flaws, *(flaw for other in others for flaw in other.flaws)]
    if as_json:
        told = {"schema_version": 2, "root_given": trust is not None, **log_as_json(report)}
        typer.echo(json.dumps(told | {"against": [log_as_json(other) for other in others]}, indent=2))
    else:
        for each in (report, *others):
            print_log(each, trust is not None)
            print_flaws(each)
    if found:
        raise LedgerError(f"the log cannot be trusted, {len(found)} findings; the first: {found[0].text}")
    if not as_json:
        typer.echo("Next: " + ("note the head outside this machine" if others else "hold it --against a site's log"))


@app.command(
    epilog="Example: fedvoxel audit accept-gap server.consortium.example --against hospital-a --against hospital-b "
    '--sign kits/admin@consortium.example --reason "disk failed, restored from Monday\'s backup"'
)
def accept_gap(
    kit: Annotated[Path, typer.Argument(help="The kit whose log shall say so: the server's, or a site's.")],
    sign: Annotated[Path, typer.Option("--sign", help="Your own kit: who accepts stays on record, signed.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who will verify; no patient's name.")],
    against: Annotated[
        list[Path] | None, typer.Option("--against", help="For the server's log: a site's log or kit; repeatable.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Accepts openly that the server's log lost entries that sites have signed, as after a restore from a backup.

    In the server's log it says which signed heads are not there any more: `verify --against` then names the gap in the
    place of a finding, and still finds whatever else is missing. In a site's log it says that the site signs the
    server's log again, which it has refused. In the server's log a project_admin accepts, in a site's an org_admin of
    its hospital. Exit code 8 if you may not, 12 if there is no such gap, or the log cannot be trusted.
    """
    from fedvoxel.cli.audit_gap import accept

    accept(kit, sign, reason, against or [], yes)


@app.command(epilog="Example: fedvoxel audit show hospital-a --run hippocampus_fedavg --kind answer")
def show(
    place: Place,
    run: _Run = None,
    site: _Site = None,
    kind: _Kind = None,
    since: _Since = None,
    until: _Until = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Shows what a log says, one event a line; exit code 12 if its chain is broken."""
    from fedvoxel.governance.audit_choice import Choice
    from fedvoxel.governance.audit_report import log_file
    from fedvoxel.records.audit import events_of
    from fedvoxel.records.chain import Chain

    choice = Choice(run, site, _kind(kind), _moment(since), _moment(until))
    for line in choice.of(events_of(Chain(log_file(place)).read())):
        typer.echo(shown_line(line, as_json))


@app.command(epilog="Example: fedvoxel audit export hospital-a --format article-12 --out audit.json")
def export(
    place: Place,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; standard output without.")] = None,
    form: Annotated[str, typer.Option("--format", help="article-12: see docs/audit.md.")] = "article-12",
    root: _Root = None,
    crl: _Crl = None,
    run: _Run = None,
    site: _Site = None,
    kind: _Kind = None,
    since: _Since = None,
    until: _Until = None,
) -> None:
    """Writes a log as one JSON document in a documented form; exit code 12 if the log cannot be trusted."""
    from fedvoxel.governance.article12 import article12
    from fedvoxel.governance.audit_choice import Choice
    from fedvoxel.governance.audit_report import log_file, verify_log
    from fedvoxel.records.atomic import write_json

    if form != "article-12":
        raise ConfigError(f"--format: expected article-12, got {form}")
    report = verify_log(log_file(place), _trust(place, root, crl), None, datetime.now(UTC))
    if report.flaws:
        raise LedgerError(f"nothing is exported of a log that cannot be trusted: {report.flaws[0].text}")
    choice = Choice(run, site, _kind(kind), _moment(since), _moment(until))
    made = article12(report.checked, choice.of(report.checked.lines)).model_dump(mode="json")
    if out is None:
        typer.echo(json.dumps(made, indent=2))
        return
    write_json(out, made, mode=0o600)
    typer.echo(f"{len(made['records'])} records in {out}; the schema is in the package (docs/audit.md)")


def _trust(place: Path, root: Path | None, crl: Path | None) -> "Trust | None":
    from fedvoxel.export.trust import read_trust

    own = place if (place / "startup" / "rootCA.pem").is_file() else None
    chosen = root or own
    return read_trust(chosen, crl) if chosen else None


def _kind(kind: str | None) -> str | None:
    from fedvoxel.records.audit_event import Kind

    if kind is not None and kind not in get_args(Kind):
        raise ConfigError(f"--kind: expected one of {', '.join(get_args(Kind))}, got {kind}")
    return kind


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"expected a time such as 2026-11-29T16:00Z, got {text}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
