"""`fedvoxel pipeline …`: from a job to a registered model, run here or compiled for Kubeflow Pipelines."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import click
import typer

from fedvoxel.cli.pipeline_search import SEARCH_EXAMPLE, TRIAL_EXAMPLE, search, trial

if TYPE_CHECKING:
    from fedvoxel.ops.pipelines.run import PipelineRun

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Check, submit, wait, evaluate, gate, export, register: as one pipeline of Kubeflow.",
)

app.command("search", epilog=SEARCH_EXAMPLE)(search)
app.command("trial", epilog=TRIAL_EXAMPLE)(trial)

SettingsFile = Annotated[
    Path, typer.Argument(metavar="SETTINGS", help="The settings, a JSON file.", show_default=False)
]
Folder = Annotated[
    Path, typer.Option("--folder", help="What the pipeline keeps; the same folder again goes on.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]
_NAMES = click.Choice(["check", "submit", "wait", "evaluate", "gate", "export", "register"])


@app.command(epilog="Example: fedvoxel pipeline run pipeline.json --folder work/pipeline")
def run(settings: SettingsFile, folder: Folder, as_json: AsJson = False) -> None:
    """Runs the pipeline on this machine with Kubeflow's local runner; needs the extra `pipelines`.

    Give it again after a failure, or with other settings: finished steps are not repeated, and no second job is
    submitted. Exit code 29 if the gate lets the model go no further: nothing is exported or registered then. Otherwise
    that of the step that failed; 3 if the settings cannot be used or Kubeflow Pipelines is not installed.
    """
    from fedvoxel.errors import GateError
    from fedvoxel.ops.pipelines.kubeflow import run_here
    from fedvoxel.ops.pipelines.steps import open_run

    pipeline = open_run(settings, folder)
    run_here(settings, folder)
    gate = pipeline.needed("gate")
    if as_json:
        typer.echo(json.dumps(_facts(pipeline), indent=2, ensure_ascii=False))
    if gate["objections"]:
        said = "; ".join(gate["objections"])
        raise GateError(f"the gate lets the model go no further, nothing was exported or registered: {said}")
    if not as_json:
        done, index = pipeline.needed("register"), pipeline.settings.releases
        model = f"{done['name']} {done['version']}"
        typer.echo(f"{model} is {done['state']} in {index}. Read {pipeline.record.folder / 'report' / 'report.html'}")
        typer.echo(
            f"Next, if you stand behind it: fedvoxel release set released {index} {model} --sign KIT --reason WHY"
        )


@app.command(epilog="Example: fedvoxel pipeline step evaluate pipeline.json --folder work/pipeline")
def step(
    name: Annotated[str, typer.Argument(metavar="STEP", help="Which step.", click_type=_NAMES, show_default=False)],
    settings: SettingsFile,
    folder: Folder,
) -> None:
    """Does one step, as a pod of the pipeline does; prints `pass` or `stop` for the gate, else `done`.

    A step that is finished is not done again. Exit code: that of the command which failed.
    """
    from fedvoxel.ops.pipelines.steps import do_step

    values, new = do_step(name, settings, folder)  # type: ignore[arg-type]  # click has checked it
    typer.echo(f"{name}: {'done' if new else 'was done already'}", err=True)
    typer.echo(values.get("verdict", "done"))


@app.command(
    "compile",
    epilog="Example: fedvoxel pipeline compile --image registry.example/fedvoxel-pipelines:0.2.0 --claim pipelines "
    "--kit-claim scientist-kit --out pipeline.yaml",
)
def compile_(
    image: Annotated[str, typer.Option("--image", help="The container image (Containerfile, target pipelines).")],
    claim: Annotated[str, typer.Option("--claim", help="Volume claim of settings, job, index and folder: /pipeline.")],
    kit_claim: Annotated[str, typer.Option("--kit-claim", help="Volume claim of the person's kit: /kit.")],
    out: Annotated[Path, typer.Option("--out", help="The YAML file.")],
    settings: Annotated[str, typer.Option(help="The settings file, as a pod sees it.")] = "/pipeline/pipeline.json",
    folder: Annotated[str, typer.Option(help="The pipeline's folder, as a pod sees it.")] = "/pipeline/run",
) -> None:
    """Compiles the pipeline for a cluster; needs the extra `pipelines`.

    Kubeflow keeps what a pipeline is given: that is the two paths, and no secret.

    Exit code 3 if an option is wrong, the file cannot be written or Kubeflow Pipelines is not installed.
    """
    from fedvoxel.ops.pipelines.kubeflow import Cluster, compiled
    from fedvoxel.ops.pipelines.writing import write_manifest

    write_manifest(out, compiled(Cluster(image, claim, kit_claim), settings, folder))
    typer.echo(f"{out} is written. Next: upload it in Kubeflow's page, or with: kfp pipeline create -p fedvoxel {out}")


def _facts(pipeline: "PipelineRun") -> dict[str, Any]:
    """Returns what came of each step; None for what comes after a gate that has stopped the model."""
    from fedvoxel.ops.pipelines.model_steps import STOP
    from fedvoxel.ops.pipelines.run import NAMES

    names = NAMES[:5] if pipeline.needed("gate")["verdict"] == STOP else NAMES
    return {"schema_version": 1, **dict.fromkeys(NAMES), **{name: pipeline.found(name) for name in names}}
