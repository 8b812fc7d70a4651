"""`fedvoxel pipeline search` and `trial`: a search over a job's parameters, as Katib makes it."""

from pathlib import Path
from typing import Annotated

import typer

SEARCH_EXAMPLE = (
    "Example: fedvoxel pipeline search pipeline.json search.json --name learning-rate --image "
    "registry.example/fedvoxel-pipelines:0.2.0 --claim pipelines --kit-claim scientist-kit --out experiment.yaml"
)
TRIAL_EXAMPLE = (
    "Example: fedvoxel pipeline trial pipeline.json --folder work/trials --set training.optimizer.learning_rate=0.004"
)

SettingsFile = Annotated[
    Path, typer.Argument(metavar="SETTINGS", help="The pipeline's settings: job and kit.", show_default=False)
]


def search(
    settings: SettingsFile,
    searched: Annotated[
        Path, typer.Argument(metavar="SEARCH", help="What is searched, a JSON file.", show_default=False)
    ],
    name: Annotated[str, typer.Option("--name", help="The experiment's name.")],
    image: Annotated[str, typer.Option("--image", help="The container image (Containerfile, target pipelines).")],
    claim: Annotated[str, typer.Option("--claim", help="Volume claim of settings, job and trials: /pipeline.")],
    kit_claim: Annotated[str, typer.Option("--kit-claim", help="Volume claim of the person's kit: /kit.")],
    out: Annotated[Path, typer.Option("--out", help="The YAML file.")],
    pods_settings: Annotated[
        str, typer.Option("--settings", help="The settings file, as a pod sees it.")
    ] = "/pipeline/pipeline.json",
    folder: Annotated[
        str, typer.Option(help="Where trials keep what they did, as a pod sees it.")
    ] = "/pipeline/trials",
) -> None:
    """Writes a Katib Experiment whose trials are jobs of the consortium, one after another; needs `pipelines`.

    Each hospital is asked for each trial, as for any job. Refused for a job with a privacy section.

    Exit code 3 if a file, an option or the job is not in order, or Katib's types are not installed.
    """
    from fedvoxel.config import load_json_config
    from fedvoxel.ops.pipelines.katib import experiment
    from fedvoxel.ops.pipelines.kubeflow import Cluster
    from fedvoxel.ops.pipelines.search import SearchSettings, check_values, read_searched_job
    from fedvoxel.ops.pipelines.writing import write_manifest

    asked = load_json_config(SearchSettings, searched, "the search")
    check_values(read_searched_job(settings), asked)
    text = experiment(name, asked, Cluster(image, claim, kit_claim), pods_settings, folder)
    write_manifest(out, text)
    typer.echo(f"{out} is written: at most {asked.most_trials} jobs. Next: kubectl apply -f {out}")


def trial(
    settings: SettingsFile,
    folder: Annotated[Path, typer.Option("--folder", help="What trials keep; the same values again are not trained.")],
    set_: Annotated[
        list[str], typer.Option("--set", metavar="KEY=VALUE", help="A key of training or rounds; repeatable.")
    ],
) -> None:
    """Runs the job once with other values, and prints dice=VALUE: the best round's mean validation Dice, 0 to 1.

    The unseen cases are not looked at: they judge what a search has found.

    Exit code 10 if a hospital refuses the job or it fails; 3 if it has a privacy section, or does not take the values.
    """
    from fedvoxel.governance.job_keys import parse_assignment
    from fedvoxel.ops.pipelines.search import METRIC, do_trial

    score = do_trial(settings, folder, dict(parse_assignment(text) for text in set_))
    typer.echo(f"{METRIC}={score:.6f}")
