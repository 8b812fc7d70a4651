"""`fedvoxel track …`: sends a run's record to the tracker that a consortium uses already."""

import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import click
import typer
from typer.core import TyperGroup

from fedvoxel.cli.trust_options import RevocationList, Root, read

if TYPE_CHECKING:
    from fedvoxel.ops.trackers.content import Content, TrackedRun
    from fedvoxel.ops.trackers.sender import Sender

_DEFAULT = "run"


class _RunByDefault(TyperGroup):
    """Takes `fedvoxel track RUN` for `fedvoxel track run RUN`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_RunByDefault,
    no_args_is_help=True,
    add_completion=False,
    help="Send a run's record to MLflow, W&B, ClearML, TensorBoard or CSV; mirror releases in MLflow.",
    epilog="Example: fedvoxel track downloads/3c5c62d1 --to csv",
)

Url = Annotated[
    str | None,
    typer.Option(
        envvar="MLFLOW_TRACKING_URI",
        help="MLflow's address, without a login: that is read from the environment only.",
        show_default=False,
    ),
]
Project = Annotated[str, typer.Option(help="MLflow's experiment; the project at W&B and ClearML.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]


JobOrRun = Annotated[
    str,
    typer.Argument(
        metavar="JOB_OR_RUN",
        help="The folder that download_job made, or an outcome.json; with --server a run's key or a job's id.",
        show_default=False,
    ),
]
To = Annotated[
    Literal["mlflow", "wandb", "clearml", "tensorboard", "csv"], typer.Option(help="Which tracker.", show_default=False)
]
Server = Annotated[Path | None, typer.Option(help="The server's kit, on its machine: its runs, also one under way.")]
Out = Annotated[Path, typer.Option(help="Folder of the files for W&B, ClearML, TensorBoard, CSV.")]
Follow = Annotated[bool, typer.Option("--follow", help="Send after every round until the run ends.")]
Interval = Annotated[float, typer.Option(min=0.2, help="Seconds between two looks at a run under way.")]
OfRun = Annotated[
    Path | None, typer.Option(help="The package exported of the run; its model card is sent too. Needs --root.")
]
RootOfPackage = Annotated[
    Path | None, typer.Option(envvar="FEDVOXEL_ROOT", help="Whose signature counts; a root certificate or a kit.")
]
State = Annotated[
    Path | None, typer.Option(help="Where to note what was sent; a folder in your state folder by default.")
]


@app.command(
    epilog="Example: fedvoxel track hippocampus-2026-03 --server kits/server.example --to mlflow "
    "--url https://mlflow.example --follow"
)
def run(
    run: JobOrRun,
    to: To,
    server: Server = None,
    url: Url = None,
    project: Project = "fedvoxel",
    out: Out = Path("tracking"),
    follow: Follow = False,
    interval: Interval = 5.0,
    package: OfRun = None,
    root: RootOfPackage = None,
    crl: RevocationList = None,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Sends what the tracker does not have yet: parameters, metrics of each round, tags, outcome.json.

    Give it again at any time: what was sent is not sent twice, and what could not be sent is. Ctrl-C stops following,
    not the run. Exit code 27 if the tracker did not take it; 10 if there is no such run; 17 for a package that is not
    to be trusted or of another run; 3 for an option or a missing package.
    """
    from fedvoxel.ops.trackers.places import Place, set_switches
    from fedvoxel.ops.trackers.run_record import RecordReader, find_record
    from fedvoxel.ops.trackers.sender import Sender
    from fedvoxel.ops.trackers.sent import SentFile, default_folder

    set_switches()
    record, place = find_record(run, server), Place(to, out, url, project)
    look = RecordReader(record, *_package_facts(package, root, crl, record.read().key))
    file = SentFile(state or default_folder(), look().id, place.words)
    tracker = place.tracker()
    with file.held():
        report = _send(look, Sender(tracker, file), interval if follow else None)
    _show(tracker.name, report, as_json)


def _package_facts(
    package: Path | None, root: Path | None, crl: Path | None, run_key: str
) -> tuple[dict[str, bytes], dict[str, str]]:
    if package is None:
        return {}, {}
    from fedvoxel.errors import ConfigError
    from fedvoxel.export.package import open_package
    from fedvoxel.ops.trackers.package_facts import card_and_tags

    if root is None:
        raise ConfigError("--package needs --root: whose signature counts")
    return card_and_tags(open_package(package, read(root, crl)), run_key)


def _send(look: Callable[[], "TrackedRun"], sender: "Sender", pause_s: float | None) -> dict[str, Any]:
    """Sends once, or until the run ends, and returns what was done as JSON."""
    from fedvoxel.ops.following import follow

    sent: Counter[str] = Counter(params=0, tags=0, points=0, files=0)
    began_s, last = time.process_time(), look()

    def count(run: "TrackedRun", new: "Content") -> None:
        nonlocal last
        last = run
        sent.update(params=len(new.params), tags=len(new.tags), points=len(new.points), files=len(new.files))

    try:
        if pause_s is None:
            count(last, sender.send(last, files=True))
        else:
            follow(
                look,
                lambda run: count(run, sender.send(run, files=run.ended)),
                pause_s,
                lambda text: typer.echo(f"note: {text}", err=True),
            )
    finally:
        # Also after Ctrl-C: an offline session that is not closed is not whole.
        said = sender.close()
    cpu_s = round(time.process_time() - began_s, 3)
    return {"run_key": last.key, "status": last.status, "sent": dict(sent), "next": said, "cpu_s": cpu_s}


def _show(name: str, report: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"tracker": name, **report}, ensure_ascii=False))
        return
    sent, run_key = report["sent"], report["run_key"]
    if not any(sent.values()):
        typer.echo(f"{name} has all of run {run_key} ({report['status']}) already.")
        return
    counts = f"{sent['params']} parameters, {sent['points']} values, {sent['tags']} tags, {sent['files']} files"
    typer.echo(f"Sent of run {run_key} ({report['status']}) to {name}: {counts}.")
    if report["next"]:
        typer.echo(f"Next: {report['next']}")


@app.command(
    epilog="Example: fedvoxel track register hippocampus-1.0.0.fvpkg --to mlflow --url https://mlflow.example "
    "--releases releases --root kits/scientist@consortium.example"
)
def register(
    package: Annotated[Path, typer.Argument(metavar="PACKAGE", help="A .fvpkg file.", show_default=False)],
    releases: Annotated[
        Path, typer.Option(envvar="FEDVOXEL_RELEASES", help="The index of releases.", show_default=False)
    ],
    root: Root,
    to: Annotated[Literal["mlflow"], typer.Option(help="Which registry.")] = "mlflow",
    url: Url = None,
    project: Project = "fedvoxel",
    crl: RevocationList = None,
    seen: Annotated[
        Path | None, typer.Option(help="Where to remember what was seen; a file in your state folder by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Registers a package's ONNX with its model card, and sets states and aliases as the index of releases says.

    Give it again after every change of the index. Exit code 17 if the package or the index is not to be trusted; 27 if
    MLflow did not take it.
    """
    from fedvoxel.export.package import open_package
    from fedvoxel.export.releases import Releases
    from fedvoxel.ops.trackers.mlflow_registry import Registry
    from fedvoxel.ops.trackers.places import check_installed, checked_url, set_switches

    set_switches()
    check_installed(to)
    trust = read(root, crl)
    opened, index = open_package(package, trust), Releases(releases, trust, seen)
    done = Registry(checked_url(url), project).register(opened, index)
    if as_json:
        typer.echo(json.dumps(vars(done), ensure_ascii=False))
        return
    aliases = ", ".join(f"{alias} → {version}" for alias, version in sorted(done.aliases.items())) or "none"
    what = "is now" if done.new else "was already"
    typer.echo(f"{opened.description.name} {opened.description.version} {what} version {done.version} ({done.state}).")
    typer.echo(f"Aliases: {aliases}. Next: give this again whenever the index of releases changes")
