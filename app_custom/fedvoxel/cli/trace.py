"""`fedvoxel trace`: sends what the server's log says of a run to an OpenTelemetry collector."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fedvoxel.ops.tracing.spans import RunTrace

app = typer.Typer(add_completion=False, help="Send a run's rounds as an OpenTelemetry trace.")


@app.command(
    epilog="Example: fedvoxel trace hippocampus-2026-03 --server kits/server.example --to https://collector.example:4318"
)
def trace(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's key.", show_default=False)],
    server: Annotated[Path, typer.Option(help="The server's kit, on its machine.", show_default=False)],
    to: Annotated[
        str,
        typer.Option(
            envvar="OTEL_EXPORTER_OTLP_ENDPOINT",
            help="The collector's address for OTLP over HTTP, without a login.",
            show_default=False,
        ),
    ],
    follow: Annotated[bool, typer.Option("--follow", help="Send after every round until the run ends.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks at a run under way.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")] = False,
) -> None:
    """Sends the run, its attempts and its rounds as spans, with what each site's answer became.

    What is under way is not sent before it is over. A token is read from OTEL_EXPORTER_OTLP_HEADERS only. Give it again
    at any time: the spans have the same ids. Exit code 27 if the collector did not take them; 10 if the server has no
    such run; 12 if its log cannot be trusted; 3 for an address that cannot be used or a missing package.
    """
    from fedvoxel.governance.kit import open_kit
    from fedvoxel.ops import following
    from fedvoxel.ops.tracing.log_reader import LogReader
    from fedvoxel.ops.tracing.sending import TraceSender, traces_url

    look, sender, sent = LogReader(open_kit(server), run), TraceSender(traces_url(to)), 0

    def send(trace: "RunTrace") -> None:
        nonlocal sent
        sent += sender.send(trace)

    if follow:
        following.follow(look, send, interval, lambda text: typer.echo(f"note: {text}", err=True))
    else:
        send(look())
    _show(look(), sent, as_json)


def _show(run: "RunTrace", sent: int, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"run_key": run.run_key, "trace_id": run.id, "spans": sent, "ended": run.ended}))
        return
    typer.echo(f"Sent {sent} spans of run {run.run_key}; look for trace {run.id}.")
    if not run.ended:
        typer.echo("Next: the run goes on; give this again, or with --follow")
