"""`fedvoxel consortium init, issue, renew, revoke, list`: the certificates of a consortium, a whole life."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from fedvoxel.cli.authority_options import (
    JsonOption,
    KeyFolder,
    PassphraseFile,
    Workspace,
    Yes,
    confirmed,
    open_with_options,
    read_passphrase,
    read_reason,
)
from fedvoxel.cli.certificates_view import put, row, row_of_certificate, say, show_states, show_steps
from fedvoxel.errors import ConsortiumError
from fedvoxel.governance.consortium import authority_folder

ProjectFile = Annotated[Path, typer.Argument(help="The consortium file.", show_default=False)]


def init(
    project_file: ProjectFile,
    workspace: Workspace,
    key_folder: KeyFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Makes the consortium's certificate authority, with its key under a passphrase, and nothing else."""
    from fedvoxel.governance.authority_store import create_authority
    from fedvoxel.governance.certificate_request import certificate_fingerprint
    from fedvoxel.governance.consortium_file import load_consortium_file

    described = load_consortium_file(project_file)
    folder, times = authority_folder(workspace), described.certificates
    secret = read_passphrase(passphrase_file, new=True)
    made = create_authority(folder, key_folder or folder, described.name, (times.root_days, times.list_days), secret)
    shown = certificate_fingerprint(made.certificate)
    if as_json:
        said = {"root": str(folder / "rootCA.pem"), "fingerprint": shown, "key": str(key_folder or folder)}
        typer.echo(json.dumps(said, indent=2))
        return
    say(
        f"The root's fingerprint, which you tell every hospital by telephone or in person:\n{shown}",
        f"Its key is in {key_folder or folder}, encrypted. Keep that and the passphrase apart, and a copy of both.",
        "Next: everyone makes a request (fedvoxel site request), and you answer it with: fedvoxel consortium issue",
    )


def issue(
    project_file: ProjectFile,
    requests: Annotated[list[Path], typer.Argument(help="Requests (*.csr), one or more.", show_default=False)],
    workspace: Workspace,
    key_folder: KeyFolder = None,
    passphrase_file: PassphraseFile = None,
    yes: Yes = False,
    as_json: JsonOption = False,
) -> None:
    """Answers requests with kits that lack only the private key; what the consortium file does not name is refused.

    Compare each fingerprint with the one that the owner reads to you on the telephone before you go on.
    """
    from fedvoxel.flare.issuing import Approved, answer
    from fedvoxel.governance.certificate_request import fingerprint, read_request, requested_by
    from fedvoxel.governance.consortium_file import load_consortium_file
    from fedvoxel.governance.holder import holders_of

    described = load_consortium_file(project_file)
    holders = holders_of(described)
    approved = [Approved(*requested_by(read_request(path), holders)) for path in requests]
    table = Table(title="Who asks for a certificate")
    for heading in ("name", "organisation", "what", "fingerprint of the key"):
        table.add_column(heading, overflow="fold")
    for one in approved:
        holder = one.holder
        table.add_row(holder.name, holder.organisation, holder.role or holder.kind, fingerprint(one.key))
    Console(stderr=True, emoji=False).print(table)  # it holds fingerprints; see `say`
    confirmed("Are these the people, organisations and fingerprints that you know?", yes)
    authority = open_with_options(workspace, key_folder, passphrase_file)
    answers = answer(described, authority, approved, workspace / "answers")
    if as_json:
        rows = [{"answer": str(made.path), **row_of_certificate(made.certificate)} for made in answers]
        typer.echo(json.dumps({"issued": rows}, indent=2))
        return
    for made in answers:
        ends = f"{made.certificate.not_valid_after_utc:%Y-%m-%d}"
        say(f"{made.path}: valid until {ends}; send it back, it is no secret")
    say("The owner goes on with: fedvoxel site install")


def renew(
    project_file: ProjectFile,
    workspace: Workspace,
    names: Annotated[list[str] | None, typer.Argument(help="Whose; all that expire soon when left out.")] = None,
    key_folder: KeyFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Issues new certificates for the same keys, and a new revocation list; sites fetch theirs from the server.

    Who cannot be renewed is named at the end, and keeps nobody else back.
    """
    from fedvoxel.governance.workspace_renewal import renew_in_workspace

    authority = open_with_options(workspace, key_folder, passphrase_file)
    done = renew_in_workspace(project_file, workspace, authority, tuple(names or ()))
    if as_json:
        rows = [{"file": str(path), **row(one)} for one, path in done.renewed]
        said = {"renewed": rows, "not_renewed": done.refused, "list": str(authority.list_file)}
        typer.echo(json.dumps({**said, "put": list(map(str, done.places))}))
    else:
        for one, path in done.renewed:
            say(f"{one.holder.name}: valid until {one.certificate.not_valid_after_utc:%Y-%m-%d} ({path})")
        nothing = not done.renewed and not done.refused
        say("Nothing expires soon; the revocation list is signed anew." if nothing else "", put(done.places))
        say(
            f"A server that runs elsewhere: copy {authority.list_file} and {workspace / 'renewed'} to its startup/; "
            "sites fetch theirs there. People, and sites that are not running: fedvoxel site renew KIT FILE"
        )
    if done.refused:
        raise ConsortiumError(f"not everybody was renewed; the list is signed. {'; '.join(done.refused)}")


def revoke(
    who: Annotated[str, typer.Argument(help="A name (all that is valid) or a serial number.", show_default=False)],
    workspace: Workspace,
    reason: Annotated[str, typer.Option("--reason", help="left, key-compromise, superseded, affiliation-changed")],
    since: Annotated[
        datetime | None,
        typer.Option("--since", formats=["%Y-%m-%d"], help="What it signed from this day on counts for nothing."),
    ] = None,
    days: Annotated[int, typer.Option("--list-days", min=1, max=397, help="How long the new list holds.")] = 90,
    key_folder: KeyFolder = None,
    passphrase_file: PassphraseFile = None,
    yes: Yes = False,
    as_json: JsonOption = False,
) -> None:
    """Revokes a site's or a person's certificate for good; in force within 30 s of the server having the new list.

    With key-compromise it takes all certificates that the key ever had. An interrupted revocation is said again.
    """
    from fedvoxel.governance.leaving import Step, checklist
    from fedvoxel.governance.list_places import put_shared

    authority, why = open_with_options(workspace, key_folder, passphrase_file), read_reason(reason)
    found = authority.meant(authority.register.find(who, datetime.now(UTC)), why)
    for one in found:
        already = " (revoked already; the list is signed anew)" if one.revoked else ""
        typer.echo(f"{one.holder.name} of {one.holder.organisation}, serial {one.serial}{already}", err=True)
    confirmed("Revoke for good?", yes)
    authority.revoke(found, why, days, since.replace(tzinfo=UTC) if since else None)
    places = put_shared(workspace)
    steps: list[Step] = checklist(workspace, found[0].holder.name)
    if as_json:
        said = {
            "revoked": [row(one) for one in found],
            "list": str(authority.list_file),
            "put": list(map(str, places)),
        }
        typer.echo(json.dumps({**said, "checklist": [step.as_json() for step in steps]}, indent=2))
        return
    say(put(places), f"A server that runs elsewhere: copy {authority.list_file} to its startup/crl.pem.")
    show_steps(steps)


def rotate_ca(
    project_file: ProjectFile,
    workspace: Workspace,
    finish: Annotated[bool, typer.Option("--finish", help="Drop the old root, once nobody needs it any more.")] = False,
    key_folder: KeyFolder = None,
    passphrase_file: PassphraseFile = None,
    as_json: JsonOption = False,
) -> None:
    """Changes to a new root: both are trusted until everybody has a certificate of the new one.

    Say it once, renew everybody's certificate (fedvoxel consortium renew), and say it again with --finish.
    """
    from fedvoxel.governance.authority_store import open_authority, read_roots
    from fedvoxel.governance.certificate_request import certificate_fingerprint
    from fedvoxel.governance.consortium_file import load_consortium_file
    from fedvoxel.governance.list_places import put_shared
    from fedvoxel.governance.rotation import begin_rotation, finish_rotation, late_holders

    times, folder = load_consortium_file(project_file).certificates, authority_folder(workspace)
    read_roots(folder)
    keys, secret = key_folder or folder, read_passphrase(passphrase_file)
    authority = open_authority(folder, keys, secret)
    if finish:
        changed = finish_rotation(authority, keys, secret, times.list_days)
    else:
        changed = begin_rotation(authority, keys, secret, times.root_days, times.list_days)
    places, late = put_shared(workspace), late_holders(changed)
    new, told = (certificate_fingerprint(one.certificate) for one in (changed.roots[-1], changed.roots[0]))
    if as_json:
        said = {"roots": len(changed.roots), "fingerprint": new, "fingerprint_to_tell": told, "to_renew": late}
        typer.echo(json.dumps({**said, "put": list(map(str, places))}, indent=2))
        return
    until = "until you have said --finish, the old root's" if len(changed.roots) > 1 else "the new root's"
    say(f"The fingerprint that you tell everybody from now on, {until}:\n{told}", put(places))
    say(f"A server that runs elsewhere: copy rootCA.pem, crl.pem and crossCA.pem from {folder} to its startup/.")
    say(*([f"Next: fedvoxel consortium renew, for {', '.join(late)}; then again with --finish."] if late else []))


def leaver(
    name: Annotated[str, typer.Argument(help="Who leaves: a site or a person.", show_default=False)],
    workspace: Workspace,
    as_json: JsonOption = False,
) -> None:
    """Shows what has to be done when a hospital or a person leaves; does nothing."""
    from fedvoxel.governance.leaving import checklist

    steps = checklist(workspace, name)
    if as_json:
        typer.echo(json.dumps({"leaver": name, "checklist": [step.as_json() for step in steps]}, indent=2))
        return
    show_steps(steps)


def list_certificates(workspace: Workspace, as_json: JsonOption = False) -> None:
    """Lists every certificate: whose, its serial number, until when, and what it is worth. Needs no passphrase."""
    from fedvoxel.governance.authority_store import read_roots
    from fedvoxel.governance.certificate_register import Register

    folder = authority_folder(workspace)
    root = read_roots(folder)[-1]
    rows = Register(folder).states(datetime.now(UTC))
    if as_json:
        shown = [{**row(one), "state": state} for one, state in rows]
        typer.echo(json.dumps({"root": row_of_certificate(root), "certificates": shown}, indent=2))
        return
    show_states(rows)
    from fedvoxel.governance.list_places import authority_alarms

    for alarm in authority_alarms(folder, datetime.now(UTC)):
        Console().print(f"[yellow]{alarm}[/]", soft_wrap=True, highlight=False)
