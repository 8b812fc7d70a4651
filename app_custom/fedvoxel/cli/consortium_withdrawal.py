"""`fedvoxel consortium withdraw, verify-withdrawal`: what a hospital that leaves has been part of, in writing."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedvoxel.cli.authority_options import JsonOption, Workspace
from fedvoxel.cli.certificates_view import say
from fedvoxel.cli.trust_options import RevocationList, Root, read
from fedvoxel.cli.withdrawal_view import certificate_as_json, found_as_json, show_found, show_statement
from fedvoxel.errors import ConfigError, ConsortiumError, FedVoxelError, PackageError
from fedvoxel.governance.consortium import authority_folder

if TYPE_CHECKING:
    from fedvoxel.cli.withdrawal_releases import Index, Judged
    from fedvoxel.governance.withdrawal_certificate import RevokedCertificate
    from fedvoxel.records.identity import Identity

REASON = "a hospital that contributed to this model has withdrawn from the consortium"
"""Why a release is withdrawn, unless the operator says it otherwise: the index is read outside the consortium too."""

_HELD = "The index of releases; those that hold the site are withdrawn with --sign."
_SEEN = "Where to remember what was seen of the index; in your state folder by default."


def withdraw(
    site: Annotated[str, typer.Argument(help="The site that leaves.", show_default=False)],
    state: Annotated[Path, typer.Option("--state", help="The server's kit, or the state folder in it.")],
    workspace: Workspace,
    sign: Annotated[Path | None, typer.Option("--sign", help="The operator's kit: issue it; else only look.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; withdrawal-SITE.json here.")] = None,
    releases: Annotated[Path | None, typer.Option("--releases", help=_HELD)] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the readers of the index.")] = REASON,
    seen: Annotated[Path | None, typer.Option(help=_SEEN)] = None,
    as_json: JsonOption = False,
) -> None:
    """Says which models hold updates of a site, and which exclude it; with --sign, certifies that.

    Works offline, on the server, as the account that the server runs under. Without --sign nothing is changed. With it,
    releases that hold updates of the site are withdrawn, and a certificate of withdrawal is signed and written. Only a
    model from before the site joined a run is certified.

    Exit codes: 3 if a run's files are damaged; 8 if the site's certificate is not revoked, or a run of it has not
    ended; 12 if the server's log cannot be trusted; 17 if the signer may not do that, or the index cannot be trusted.
    """
    from fedvoxel.cli.withdrawal_releases import Index
    from fedvoxel.export.trust import read_trust

    kit = _kit(state)
    index, folders = Index(releases, read_trust(kit), seen), (workspace, kit)
    if sign is None:
        _look(site, index, folders, as_json)
        return
    file = out or Path(f"withdrawal-{site}.json")
    content = _certify(site, index, (*folders, sign), reason, file)
    if as_json:
        typer.echo(json.dumps({"file": str(file), **json.loads(content)}, indent=2))
        return
    say(f"The certificate of withdrawal is {file}. Next: fedvoxel consortium verify-withdrawal {file} --root {kit}")


def verify_withdrawal(
    file: Annotated[Path, typer.Argument(help="The certificate.", show_default=False)],
    root: Root,
    crl: RevocationList = None,
    model: Annotated[Path | None, typer.Option("--model", help="A model file: does the certificate name it?")] = None,
    as_json: JsonOption = False,
) -> None:
    """Verifies a certificate of withdrawal offline, as of the time of signing; with --model, what it says of a model.

    Exit code 17 if it cannot be trusted, or if the model is not one that it certifies to exclude the site.
    """
    from fedvoxel.governance.withdrawal_certificate import LARGEST_BYTES
    from fedvoxel.governance.withdrawal_issue import verdict_on_model, verify_certificate
    from fedvoxel.plain_file import read_plain
    from fedvoxel.records.canonical import sha256_of_file

    try:
        content, sha256 = read_plain(file, LARGEST_BYTES), sha256_of_file(model) if model else None
    except OSError as error:
        raise PackageError(f"a file cannot be read ({error.strerror or type(error).__name__})") from None
    certificate, signer = verify_certificate(content, read(root, crl), datetime.now(UTC))
    verdict = verdict_on_model(certificate.statement, sha256) if sha256 else None
    if as_json:
        typer.echo(json.dumps(certificate_as_json(certificate, signer, verdict), indent=2))
    else:
        show_statement(certificate, signer)
        say(*([f"{model.name if model else ''}: {verdict[1]}"] if verdict else []))
    if verdict and verdict[0] != "excludes":
        raise PackageError(f"the model is not certified to exclude {certificate.statement.site}: {verdict[1]}")


def _kit(state: Path) -> Path:
    """Returns the server's kit."""
    kit = state.resolve().parent if state.resolve().name == "state" else state
    if (kit / "state").is_dir() and (kit / "startup" / "fed_server.json").is_file():
        return kit
    raise ConfigError(f"--state: expected the server's kit, or the state folder in it, got {state.name}")


def _look(site: str, index: "Index", folders: tuple[Path, Path], as_json: bool) -> None:
    """Shows what there is to certify, and what stands against it."""
    from fedvoxel.governance.withdrawal import find

    (workspace, kit), now = folders, datetime.now(UTC)
    found = find(site, kit / "state", index.trust.root, now)
    judged, revoked, trouble = index.judged(found), tuple["RevokedCertificate", ...](), None
    try:
        revoked = _revoked(site, workspace, kit, now)
    except ConsortiumError as error:
        trouble = str(error)
    if as_json:
        typer.echo(json.dumps(found_as_json(found, judged, revoked, trouble), indent=2))
        return
    show_found(found, judged, revoked, trouble)
    say(f"Next: fedvoxel consortium withdraw {site} --state {kit} -w {workspace} --sign OPERATOR_KIT")


def _certify(site: str, index: "Index", folders: tuple[Path, Path, Path], reason: str, file: Path) -> bytes:
    """Withdraws releases, writes the certificate and returns its content; the server's log has it, or why not.

    All that can be refused is done first, in an order that leaves nothing that cannot be taken back: the certificate is
    signed, lies beside its place, and is in the log, before a release is withdrawn; and it counts only after that.
    """
    from fedvoxel.records.identity import load_identity

    kit, now = folders[1], datetime.now(UTC)
    staged = file.with_name(f".{file.name}.new")
    try:
        identity = load_identity(folders[2] / "startup")
        content, judged = _certificate(site, index, folders[:2], identity, (reason, now))
        _stage(file, staged, content)
        _audit(kit, "done", site, hashes={"certificate": hashlib.sha256(content).hexdigest()})
        index.withdraw(judged, identity, reason, now)
        staged.replace(file)
    except FedVoxelError as error:
        _audit(kit, "refused", site, reason=str(error)[:2000])
        raise
    finally:
        staged.unlink(missing_ok=True)
    return content


def _certificate(
    site: str, index: "Index", folders: tuple[Path, Path], identity: "Identity", withdrawn: tuple[str, datetime]
) -> tuple[bytes, "tuple[Judged, ...]"]:
    """Returns the signed certificate and the releases, judged; changes nothing."""
    from fedvoxel.governance.withdrawal import find
    from fedvoxel.governance.withdrawal_issue import check_may_issue, issue

    (workspace, kit), (reason, now) = folders, withdrawn
    found = find(site, kit / "state", index.trust.root, now)
    revoked = _revoked(site, workspace, kit, now)
    check_may_issue(found, identity, index.trust, now)
    judged = index.judged(found)
    releases = index.planned(judged, reason, now)
    return issue(found, revoked, releases, identity, index.trust, now).file_content, judged


def _revoked(site: str, workspace: Path, kit: Path, now: datetime) -> tuple["RevokedCertificate", ...]:
    from fedvoxel.governance.certificate_register import Register
    from fedvoxel.governance.withdrawal_issue import check_revoked

    return check_revoked(site, Register(authority_folder(workspace)), kit / "startup", now)


def _stage(file: Path, staged: Path, content: bytes) -> None:
    """Writes beside the file's place what is to be moved there."""
    from fedvoxel.records.atomic import write_bytes

    if file.is_dir():
        raise PackageError(f"{file.name} cannot be written (it is a folder)")
    try:
        write_bytes(staged, content)
    except OSError as error:
        raise PackageError(f"{file.name} cannot be written ({error.strerror or type(error).__name__})") from None


def _audit(kit: Path, outcome: str, site: str, **said: object) -> None:
    """Notes in the server's log that a certificate was issued, or why not."""
    from fedvoxel.records.audit import AuditLog
    from fedvoxel.records.audit_event import AuditEvent

    values = {"kind": "command", "outcome": outcome, "task": "consortium withdraw", "site": site, **said}
    AuditLog(kit / "state").record([AuditEvent.model_validate(values)])
