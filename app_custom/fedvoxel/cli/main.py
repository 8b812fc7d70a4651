"""The `fedvoxel` command: finds the sub-command, and turns what goes wrong into one line and an exit code.

A sub-command's module is imported when it is called, so that `fedvoxel --help` answers at once.
An error that a user can act on (`FedVoxelError`) is one line on stderr; anything else is a bug, of which the line says
the kind and the place in our code. What Python itself would show may quote a path or a value of a scan, and waits for
--debug. Standard output belongs to the sub-commands alone.
"""

import importlib
import logging
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from typer.core import TyperGroup

from fedvoxel import __version__
from fedvoxel.errors import ConfigError, FedVoxelError

NOUNS = {
    "consortium": "Create, extend and inspect the consortium's startup kits.",
    "server": "Run the server, and start it again when it dies.",
    "site": "Prepare a hospital's kit and check that it is ready.",
    "pacs": "Check the connection to the hospital's PACS, count its series, store results.",
    "cohort": "List which scans a site can use, which it cannot, and why.",
    "job": "Export, check and submit training jobs.",
    "watch": "Show rounds, sites, Dice and time left while a job runs.",
    "track": "Send a run's record to MLflow, W&B, ClearML, TensorBoard or CSV.",
    "trace": "Send a run's rounds as an OpenTelemetry trace.",
    "results": "Report what a finished job is worth to each hospital.",
    "contribution": "Say what each hospital contributed to a run, and what looks wrong.",
    "predict": "Use a signed model on a study; segmentation and report go back to the PACS.",
    "serve": "Serve a signed model to other programs over REST and gRPC (KServe).",
    "evaluate": "Judge a signed model on a hospital's own cases; subgroups, worst cases, against another.",
    "datasite": "Judge a package for a data scientist who asks by Syft, once the hospital approves.",
    "calibrate": "Learn how far a model can be trusted on your own patients.",
    "drift": "Watch whether a model in use still meets what it was calibrated on.",
    "experiment": "Compare jobs over the same hospitals and seeds.",
    "review": "Look at results in the browser; accept, correct or reject them.",
    "export": "Export a job's model as one signed package; check, show and unpack packages.",
    "release": "Publish, list and fetch released packages.",
    "pipeline": "From a job to a registered model in one pipeline, here or on Kubeflow.",
    "baseline": "Train local-only and pooled models to compare with.",
    "privacy": "Show, check and plan what is spent of a hospital's privacy budget.",
    "backup": "Back up a kit or a consortium's workspace, check a backup, put it back.",
    "audit": "Check, show and export the log of who did what, and who was refused.",
    "monitor": "Serve a kit's state to Prometheus.",
    "status": "Serve the status page that every member of the consortium may see.",
    "incident": "Declare an incident, stop all jobs, keep a site out; show the record.",
    "evidence": "Write and verify a signed pack for auditors from what a run left.",
    "quickstart": "Run the whole thing on this machine: four hospitals, one model.",
}
INTERRUPTED = 130
_DRAWS_WITH = ("PIL", "contourpy", "jinja2", "markupsafe", "matplotlib", "weasyprint")
"""What the extra `report` brings: commands that need no picture go without it."""


@dataclass
class Session:
    """Holds the options that stand before the sub-command."""

    debug: bool = False


class NounGroup(TyperGroup):
    """Loads `fedvoxel.cli.<noun>` only when that noun is called; help lists `NOUNS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the nouns in the order of `NOUNS`."""
        return list(NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns a stand-in that carries the noun's one-line help, or None for an unknown noun."""
        return click.Command(cmd_name, help=NOUNS[cmd_name]) if cmd_name in NOUNS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Returns the real command of a noun; anything else gets click's own error and suggestions."""
        if args[0] not in NOUNS:
            return super().resolve_command(ctx, args)
        module = importlib.import_module(f"fedvoxel.cli.{args[0]}")
        command = typer.main.get_command(module.app)
        command.name = args[0]
        return args[0], command, args[1:]


app = typer.Typer(
    cls=NounGroup,
    no_args_is_help=True,
    add_completion=False,
    help="Hospitals train one segmentation model together, each keeping its scans.",
    epilog="Start here: fedvoxel quickstart",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        click.echo(f"fedvoxel {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and debug messages.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    context.obj.debug = debug
    logging.basicConfig(level=logging.DEBUG if debug else logging.WARNING, format="%(levelname)s %(name)s %(message)s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line and returns its exit code.

    Args:
        arguments: The words after `fedvoxel`; those of this process by default.
    """
    session = Session()
    command = typer.main.get_command(app)
    try:
        return _exit_code(command.main(arguments, prog_name="fedvoxel", standalone_mode=False, obj=session))
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except FedVoxelError as error:
        return _report(error, session.debug)
    except ModuleNotFoundError as error:
        return _report_missing(error, session.debug)
    except Exception as error:
        return _report_bug(error, session.debug)


def _exit_code(returned: Any) -> int:
    """Returns the code of a `typer.Exit`, which click hands back as the command's result; other results mean 0."""
    return returned if isinstance(returned, int) else 0


def _report(error: FedVoxelError, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    click.echo(f"error: {error}", err=True)
    return error.exit_code


def _report_missing(error: ModuleNotFoundError, debug: bool) -> int:
    """Names the extra where a package for reports and pictures is not installed; that another is missing is a bug."""
    package = (error.name or "").partition(".")[0]
    if package not in _DRAWS_WITH:
        return _report_bug(error, debug)
    said = f"this needs {package}, which is not installed; install it with: pip install '.[report]'"
    return _report(ConfigError(said), debug)


def _report_bug(error: Exception, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "fedvoxel" in Path(frame.filename).parts]
    place = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    click.echo(
        f"error: this is a bug in fedvoxel ({type(error).__name__}{place}); please report it, and with --debug before "
        "the command what led there, which may name files",
        err=True,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
