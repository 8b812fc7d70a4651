"""`fedvoxel monitor`: serves what a server's or a site's files say to Prometheus."""

import json
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, help="Serve a kit's state to Prometheus.")


@app.command(epilog="Example: fedvoxel monitor fl.consortium.example --port 9464")
def monitor(
    kit: Annotated[Path, typer.Argument(help="The server's kit, or a site's.", show_default=False)],
    bind: Annotated[
        str, typer.Option("--bind", metavar="ADDRESS", help="Where to listen; no sign-in, and no encryption.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 9464,
    once: Annotated[bool, typer.Option("--once", help="Print the metrics and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --once: as JSON.")] = False,
) -> None:
    """Answers Prometheus with runs, sites, certificates, disk, incidents and privacy spent, until it is stopped.

    It reads the kit's files for each answer, as the account that owns them, and changes nothing. No patient, no update
    and no score of a case is in them. Alert rules and a dashboard: provisioning/monitoring.
    """
    from fedvoxel.errors import ConsortiumError
    from fedvoxel.governance.kit import open_kit
    from fedvoxel.ops.monitoring.collecting import collect
    from fedvoxel.ops.monitoring.exporter import serve_metrics

    opened = open_kit(kit)
    if opened.kind not in ("server", "site"):
        raise ConsortiumError(f"kit {opened.name} is a {opened.kind}'s: give the server's or a site's")
    if once:
        _print([{"metric": one.metric, "value": one.value, **one.labels} for one in collect(opened)], as_json)
        return
    server, taken = serve_metrics(opened, bind, port)
    typer.echo(f"http://{bind}:{taken}/metrics; stop it with Ctrl-C")
    stopped = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: stopped.set())
    stopped.wait()
    server.shutdown()


def _print(rows: list[dict[str, object]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, "metrics": rows}, indent=2))
        return
    for row in rows:
        labels = ", ".join(f"{name} {value}" for name, value in row.items() if name not in ("metric", "value"))
        typer.echo(f"{row['metric']}{f' ({labels})' if labels else ''}: {row['value']:.10g}")
