"""`fedvoxel serve`: lets programs use a signed model over the network, here or on a cluster."""

import json
from typing import TYPE_CHECKING, Annotated

import click
import typer
from typer.core import TyperGroup

from fedvoxel.cli import predict_options as o
from fedvoxel.cli.trust_options import Index, RevocationList, Root, Unknown, read, remarks_on_release

if TYPE_CHECKING:
    from fedvoxel.serving.answer import Answerer
    from fedvoxel.serving.place import Place

_START = "start"


class _ServeGroup(TyperGroup):
    """Takes `fedvoxel serve PACKAGE` for `fedvoxel serve start PACKAGE`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, args if args[0] in self.commands else [_START, *args])


app = typer.Typer(
    cls=_ServeGroup,
    no_args_is_help=True,
    add_completion=False,
    help="Serve a signed model to programs, by the Open Inference Protocol v2: fedvoxel serve PACKAGE.",
    epilog="Example: fedvoxel serve hippocampus-1.0.0.fvpkg --root kits/hospital-a --releases /share/releases",
    # So that options may stand before the package.
    context_settings={"ignore_unknown_options": True},
)

Bind = Annotated[
    str,
    typer.Option(
        "--bind",
        metavar="ADDRESS",
        help="Where to listen. Any other address than this machine's own lets in whoever reaches it, unencrypted and "
        "without a sign-in.",
    ),
]
HttpPort = Annotated[int, typer.Option("--http-port", min=0, max=65535, help="For REST; 0 takes a free one.")]
GrpcPort = Annotated[int, typer.Option("--grpc-port", min=0, max=65535, help="For gRPC; 0 takes a free one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print a line of JSON when both ports answer.")]


@app.command(_START, epilog="Example: fedvoxel serve hippocampus-1.0.0.fvpkg --root kits/hospital-a --memory-mb 8192")
def start(
    package: o.PackageFile,
    *,
    root: Root,
    crl: RevocationList = None,
    releases: Index = None,
    allow_unknown: Unknown = False,
    calibration: o.OwnCalibration = None,
    bind: Bind = "127.0.0.1",
    http_port: HttpPort = 8080,
    grpc_port: GrpcPort = 8081,
    memory_mb: o.Memory = 4096,
    threads: o.Threads = None,
    runtime: o.Runtime = "auto",
    as_json: AsJson = False,
) -> None:
    """Answer requests until Ctrl-C, on this machine alone if nothing else is said. For research use only.

    A request holds an image and its affine, a reply the label map on the image's own grid, volumes and remarks; see
    docs/serving.md. What `fedvoxel predict` refuses is refused here: at the start, or as the error of a request.

    Exit codes: 3 if a file, option, address or port is wrong, or kserve is not installed; 8 if root or list is not in
    order; 17 if the package is not to be trusted; 18 if its model cannot be used.
    """
    from fedvoxel.cli.predict import opened_model
    from fedvoxel.evaluation.uncertainty.own_calibration import with_own_calibration
    from fedvoxel.serving.answer import Answerer
    from fedvoxel.serving.place import Place
    from fedvoxel.serving.starting import start_server

    place = Place(bind, http_port, grpc_port)
    trust = read(root, crl)
    model = opened_model(package, trust, memory_mb, threads, runtime)
    model = model if calibration is None else with_own_calibration(model, calibration)
    answerer = Answerer(model, remarks_on_release(model.package, releases, trust, allow_unknown))
    for warning in (*answerer.remarks, *([place.warning] if place.warning else [])):
        typer.echo(f"warning: {warning}", err=True)
    start_server(answerer, place, lambda rest, grpc: _say_ready(answerer, place, (rest, grpc), as_json))
    if not as_json:
        typer.echo("Ended.")


def _say_ready(answerer: "Answerer", place: "Place", ports: tuple[int, int], as_json: bool) -> None:
    said = answerer.model.package.description
    rest, grpc = f"http://{place.at(ports[0])}", place.at(ports[1])
    if as_json:
        typer.echo(json.dumps({"model": said.name, "version": said.version, "rest": rest, "grpc": grpc}))
        return
    typer.echo(f"{said.name} {said.version} is served by REST at {rest}, by gRPC at {grpc}; Ctrl-C ends")
    typer.echo(f"Next: curl {rest}/v2/models/{said.name}; how to ask: docs/serving.md")
