"""`fedvoxel job plan`: how long a job will take on a line, and what each setting would change."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedvoxel.errors import ConfigError

if TYPE_CHECKING:
    from fedvoxel.cli.job_plan_view import PlanView
    from fedvoxel.federation.site_work import SiteWork
    from fedvoxel.flare.job_kinds import JobContent
    from fedvoxel.flare.line_probe import Measured

PLAN_EXAMPLE = (
    "Example: fedvoxel job plan jobs/hippocampus_fedavg --line-mbit 4 --rtt-ms 60 --sites 4 --like outcome.json"
)

JobArgument = Annotated[Path, typer.Argument(help="The job folder, with meta.json in it.", show_default=False)]
MbitOption = Annotated[float, typer.Option("--line-mbit", help="What each hospital's line carries each way, Mbit/s.")]
RttOption = Annotated[float, typer.Option("--rtt-ms", help="Round-trip time to the server (ping), ms.")]
LossOption = Annotated[float, typer.Option("--loss", help="Share of packets that is lost; 0.01 is one in a hundred.")]
ServerOption = Annotated[
    float | None, typer.Option("--server-mbit", help="The server's own line, which all share; left out: never full.")
]
SitesOption = Annotated[int | None, typer.Option("--sites", min=1, help="Sites; default: those that the job names.")]
TrainOption = Annotated[float | None, typer.Option("--train-s", min=0, help="Seconds of training in each round.")]
LikeOption = Annotated[
    Path | None, typer.Option("--like", help="An earlier run's outcome.json, from a fast line, for the training time.")
]
MeasureOption = Annotated[
    bool, typer.Option("--measure", help="Measure the line: the model to all connected sites and back. Needs --kit.")
]
KitOption = Annotated[Path | None, typer.Option("--kit", help="The kit of a person who may submit, for --measure.")]
UserOption = Annotated[str | None, typer.Option("--user", help="The user's name; default: the one the kit is for.")]
TimeoutOption = Annotated[float, typer.Option(min=1, help="Seconds that one question of --measure may take.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]


def plan(
    job: JobArgument,
    line_mbit: MbitOption = 4.0,
    rtt_ms: RttOption = 60.0,
    loss: LossOption = 0.0,
    server_mbit: ServerOption = None,
    sites: SitesOption = None,
    train_s: TrainOption = None,
    like: LikeOption = None,
    measure: MeasureOption = False,
    kit: KitOption = None,
    user: UserOption = None,
    timeout: TimeoutOption = 1800.0,
    as_json: JsonOption = False,
) -> None:
    """Says how many hours a job will take on your line, and what each setting would change. Submits nothing to train.

    Rounds times megabytes, over what the line carries. Without --train-s or --like, training comes on top. With
    --measure, the model goes once to every connected site and once back, and --line-mbit and the like do not count.
    """
    if train_s is not None and like is not None:
        raise typer.BadParameter("says the same as --train-s; leave one out", param_hint="--like")
    if measure != (kit is not None):
        raise typer.BadParameter("go together; give both or neither", param_hint="--measure and --kit")
    described = {"mbit": line_mbit, "rtt_ms": rtt_ms, "loss": loss, "server_mbit": server_mbit}
    view = _planned(job, described if kit is None else None, (kit, user, timeout), sites, _work(train_s, like))
    from fedvoxel.cli.job_plan_view import plan_as_json, show_plan

    if as_json:
        typer.echo(json.dumps(plan_as_json(view), indent=2))
    else:
        show_plan(view)


def _planned(
    job: Path,
    described: dict[str, float | None] | None,
    asked: tuple[Path | None, str | None, float],
    sites: int | None,
    work: "SiteWork",
) -> "PlanView":
    """Plans for a line that is described, or for what is measured with a person's kit."""
    from rich.console import Console

    from fedvoxel.cli.job_plan_view import PlanView
    from fedvoxel.config import parse_config
    from fedvoxel.federation.line import LineConfig, line_of
    from fedvoxel.flare.job_kinds import understand
    from fedvoxel.flare.job_plan import plan_job, sites_of
    from fedvoxel.governance.job_folder import read_job_folder

    content = understand(read_job_folder(job))
    number, missing = sites_of(content), dict[str, str]()
    with Console(stderr=True).status("planning") as status:
        if described is not None:
            config = parse_config(LineConfig, described, "the line")
            line, said = line_of(config), config.model_dump()
        else:
            measured, missing = _measure(content, *asked, status.update)
            line, said, number = measured.line(), measured.model_dump(), measured.sites
        plan = plan_job(content, line, sites or number, work, lambda words: status.update(f"planning: {words}"))
    return PlanView(job, plan, line, said, work, missing)


def _measure(
    content: "JobContent", kit: Path | None, user: str | None, timeout_s: float, on_step: Callable[[str], None]
) -> "Measured":
    from fedvoxel.flare.line_probe import measure_line
    from fedvoxel.flare.session import flare_session

    if kit is None:
        raise ConfigError("a line is measured with the kit of a person who may submit jobs: write --kit")
    with flare_session(kit, user) as session:
        return measure_line(session, content, timeout_s, on_step)


def _work(train_s: float | None, like: Path | None) -> "SiteWork":
    from fedvoxel.federation.outcome import load_outcome
    from fedvoxel.federation.site_work import SiteWork, work_like

    return SiteWork(train_s) if like is None else work_like(load_outcome(like))
