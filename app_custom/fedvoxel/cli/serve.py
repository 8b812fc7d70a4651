"""`fedvoxel serve`: lets programs use a signed model over the network, here or on a cluster."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
import typer
from typer.core import TyperGroup

from fedvoxel.cli import predict_options as o
from fedvoxel.cli.trust_options import Index, RevocationList, Root, Unknown, read, remarks_of_index, remarks_on_release

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
    from fedvoxel.serving.standing import Standing

    place = Place(bind, http_port, grpc_port)
    trust = read(root, crl)
    model = opened_model(package, trust, memory_mb, threads, runtime)
    model = model if calibration is None else with_own_calibration(model, calibration)
    remarks = remarks_on_release(model.package, releases, trust, allow_unknown)
    answerer = Answerer(model, Standing(lambda: remarks_of_index(model.package, releases, trust, allow_unknown)))
    for warning in (*remarks, *([place.warning] if place.warning else [])):
        typer.echo(f"warning: {warning}", err=True)
    _serve(answerer, place, as_json)


@app.command(
    epilog="Example: fedvoxel serve manifest hippocampus-1.0.0.fvpkg --root kits/hospital-a --image "
    "registry.example/fedvoxel-serve:0.2.0 --storage pvc://models/hippocampus --out hippocampus.yaml"
)
def manifest(
    package: o.PackageFile,
    *,
    root: Root,
    crl: RevocationList = None,
    releases: Index = None,
    allow_unknown: Unknown = False,
    image: Annotated[str, typer.Option("--image", help="The container image (Containerfile, target serve).")],
    storage: Annotated[
        str, typer.Option("--storage", help="Where KServe finds the package: pvc://NAME/FOLDER, s3://..., gs://...")
    ],
    namespace: Annotated[str | None, typer.Option("--namespace", help="Where it runs.")] = None,
    releases_claim: Annotated[
        str | None,
        typer.Option("--releases-claim", metavar="CLAIM", help="The volume claim that holds the index of releases."),
    ] = None,
    memory_mb: o.Memory = 4096,
    cores: Annotated[int, typer.Option("--cores", min=1, help="Most cores of the pod.")] = 4,
    out: Annotated[Path | None, typer.Option("--out", help="Write it there; else on standard output.")] = None,
) -> None:
    """Write the InferenceService with which KServe serves a package on a cluster, after the package is verified here.

    The root certificate and the revocation list go into the manifest: the pod verifies the package with them again.

    Exit codes: 3 if an option is wrong or --out cannot be written; 8 if root or list is not in order; 17 if the package
    is not to be trusted.
    """
    from fedvoxel.export.package import open_package
    from fedvoxel.serving.manifest import Deployment, manifest_of, trust_files_of

    deployment = Deployment(image, storage, namespace, memory_mb, cores, releases_claim)
    trust = read(root, crl)
    verified = open_package(package, trust)
    for remark in remarks_on_release(verified, releases, trust, allow_unknown):
        typer.echo(f"warning: {remark}", err=True)
    text = manifest_of(verified, trust_files_of(trust), deployment)
    _hand_out(text, out, f"put {package.name} at {storage}")


def _hand_out(text: str, path: Path | None, next_step: str) -> None:
    from fedvoxel.errors import ConfigError
    from fedvoxel.records.atomic import write_text

    if path is None:
        typer.echo(text, nl=False)
        return
    try:
        write_text(path, text)
    except OSError as error:
        raise ConfigError(f"expected --out as a file that can be written, got: {error.strerror}") from None
    typer.echo(f"{path} is written. Next: {next_step}, then: kubectl apply -f {path}")


def _serve(answerer: "Answerer", place: "Place", as_json: bool) -> None:
    from fedvoxel.serving.starting import start_server

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
