"""`fedvoxel site request, install, renew`: a certificate for a key that never leaves its owner."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fedvoxel.cli.certificates_view import say

JsonOption = Annotated[bool, typer.Option("--json", help="Write JSON to standard output.")]


def request(
    name: Annotated[str, typer.Argument(help="Your name in the consortium.", show_default=False)],
    organisation: Annotated[str, typer.Option("--org", help="Your organisation, as in the consortium file.")],
    role: Annotated[str | None, typer.Option("--role", help="A person's role; a site and a server have none.")] = None,
    folder: Annotated[Path, typer.Option("--folder", help="Where the key and the request go.")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Makes a private key, which stays here, and a request for a certificate, which goes to the operator."""
    from fedvoxel.governance.certificate_request import fingerprint, make_key, make_request
    from fedvoxel.governance.holder import Holder

    holder = Holder(name, organisation, "person" if role else "site", role)
    key_file, request_file = folder / f"{name}.key", folder / f"{name}.csr"
    key = make_key(key_file)
    make_request(holder, key, request_file)
    shown = fingerprint(key.public_key())
    if as_json:
        typer.echo(json.dumps({"key": str(key_file), "request": str(request_file), "fingerprint": shown}, indent=2))
        return
    say(
        f"Send {request_file} to the operator, and read the key's fingerprint to them on the telephone:\n{shown}",
        f"{key_file} is your private key: never send it to anybody. The operator tells you the root's fingerprint.",
        f"With the answer: fedvoxel site install {name}.kit.zip --key {key_file} --fingerprint SHA256:...",
    )


def install(
    answer: Annotated[Path, typer.Argument(help="What the operator sent (*.kit.zip).", show_default=False)],
    key: Annotated[Path, typer.Option("--key", help="The private key that the request was made with.")],
    fingerprint: Annotated[str, typer.Option("--fingerprint", help="The root's, as told by telephone (SHA256:...).")],
    folder: Annotated[
        Path | None, typer.Option("--folder", help="The new kit; by its name here when left out.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Makes the kit from the operator's answer and the private key that never left."""
    from fedvoxel.governance.answer import install_answer

    place = folder or Path(answer.name.removesuffix(".kit.zip"))
    kit = install_answer(answer, key, fingerprint, place)
    if as_json:
        typer.echo(json.dumps({"kit": str(kit.folder), "name": kit.name, "kind": kit.kind}, indent=2))
        return
    say(f"{kit.name} is in {place}; your key is in it too: delete {key}.", f"Next: fedvoxel site check {place}")


def renew(
    kit: Annotated[Path, typer.Argument(help="The kit; it may be running.", show_default=False)],
    certificate: Annotated[Path, typer.Argument(help="The renewed certificate (*.crt).", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Puts a renewed certificate into a kit; a running one shows it with its next connection."""
    from fedvoxel.governance.kit import open_kit
    from fedvoxel.governance.renewal import take_up

    opened = open_kit(kit)
    taken = take_up(opened, certificate.read_bytes() if certificate.is_file() else b"")
    if as_json:
        typer.echo(json.dumps({"kit": opened.name, "renewed": taken}, indent=2))
        return
    say(f"{opened.name}: renewed" if taken else f"{opened.name} has this certificate already")
    say(f"See: fedvoxel site check {kit}")
