"""`fedvoxel status`: serves the consortium's status page from the server's files, over mutual TLS."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, help="Serve the status page that every member of the consortium may see.")


@app.command(epilog="Example: fedvoxel status fl.consortium.example --listen 0.0.0.0 --port 9443")
def status(
    kit: Annotated[Path, typer.Argument(help="The server's kit.", show_default=False)],
    listen: Annotated[str, typer.Option("--listen", metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 9443,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON when it listens.")] = False,
) -> None:
    """Shows runs, sites, Dice, bytes, privacy and incidents to whoever has a certificate of the consortium.

    A browser or a program shows the certificate of its person's or site's own kit; what it sees goes by the role and
    the organisation in it, and by local/fedvoxel_status.json in the server's kit (docs/status.md). The page only
    reads. Run it as the account that owns the kit; it may be stopped and started at any time.

    Exit codes: 3 if the address or the agreement cannot be used, or a package is missing; 8 if the kit is not a
    server's, or its certificate cannot be used.
    """
    from fedvoxel.errors import ConfigError, ConsortiumError
    from fedvoxel.governance.kit import open_kit
    from fedvoxel.ops.status.agreement import load_agreement

    opened = open_kit(kit)
    if opened.kind != "server":
        raise ConsortiumError(f"kit {opened.name} is a {opened.kind}'s: the status page is made from the server's")
    agreement = load_agreement(opened.local)
    try:
        import jinja2  # noqa: F401

        from fedvoxel.ops.status.serving import listening, status_server
    except ImportError as error:
        wanted = f"the status page needs {error.name}, which is not installed"
        raise ConfigError(f"{wanted}; install it with: pip install '.[status]'") from None
    server = status_server(opened)
    with listening(listen, port) as listener:
        url = f"https://{opened.name}:{listener.getsockname()[1]}/"
        if as_json:
            typer.echo(json.dumps({"url": url, "listens_on": listen, "others": agreement.others}))
        else:
            typer.echo(f"{url} (listening on {listen}); of other hospitals it shows: {agreement.others}; Ctrl-C ends")
            typer.echo(f"Next: curl --cert client.crt --key client.key --cacert rootCA.pem {url}status.json")
        server.run(sockets=[listener])
