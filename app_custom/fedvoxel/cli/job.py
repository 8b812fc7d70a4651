"""`fedvoxel job`: writes variants of jobs, says whether one would be accepted, and submits one from a script."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedvoxel.cli.job_plan import PLAN_EXAMPLE, plan
from fedvoxel.cli.job_retrain import RETRAIN_EXAMPLE, retrain
from fedvoxel.cli.job_watch import WATCH_EXAMPLE, watch
from fedvoxel.errors import ConfigError, JobError

if TYPE_CHECKING:
    from fedvoxel.flare.job_admission import Submitter, Verdict
    from fedvoxel.flare.job_findings import StaticReport
    from fedvoxel.flare.job_kinds import JobContent

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Write variants of jobs, check them and plan their hours before they are submitted, submit them.",
)
app.command("plan", epilog=PLAN_EXAMPLE)(plan)
app.command("watch", epilog=WATCH_EXAMPLE)(watch)
app.command("retrain", epilog=RETRAIN_EXAMPLE)(retrain)

JobArgument = Annotated[Path, typer.Argument(help="The job folder, with meta.json in it.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")]
UserOption = Annotated[str | None, typer.Option("--user", help="The user's name; default: the one the kit is for.")]

_EXPORT_EXAMPLE = (
    "Example: fedvoxel job export jobs/hippocampus_fedavg --set rounds.num_rounds=4 --set name=short --out jobs/short"
)


@app.command(epilog=_EXPORT_EXAMPLE)
def export(
    job: JobArgument,
    out: Annotated[Path, typer.Option("--out", help="The new job folder; it must not exist yet.")],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A dotted key and its value; repeatable.")
    ] = None,
    preprocessing: Annotated[
        Path | None, typer.Option("--plan", help="A preprocessing plan, or the result of a cohort_statistics job.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Writes a variant of a job; nothing is written if the result would not be valid.

    Keys are those of meta.json, of the rounds (rounds.num_rounds) and of the sites' part (cohort, classes,
    plan.spacing_mm, training.optimizer.learning_rate); run_key is set on both sides. Values are JSON, or else text.
    A plan taken from a cohort_statistics job is said to be: plan_source is then "statistics".
    """
    from fedvoxel.flare.job_kinds import keys_of, understand, variant
    from fedvoxel.governance.job_folder import read_job_folder, write_job_folder
    from fedvoxel.governance.job_keys import parse_assignment

    content = understand(read_job_folder(job))
    values: dict[str, Any] = (
        {} if preprocessing is None else _read_plan(preprocessing, "plan_source" in keys_of(content.kind))
    )
    values |= dict(parse_assignment(text) for text in settings or ())
    made = variant(content, values)
    write_job_folder(made.folder, out)
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, "job": str(out), "set": values}, indent=2))
    else:
        typer.echo(f"Wrote {out}. Check it with: fedvoxel job check {out}")


@app.command(epilog="Example: fedvoxel job check jobs/hippocampus_fedavg --kit kits/scientist@consortium.example")
def check(
    job: JobArgument,
    kit: Annotated[
        Path | None, typer.Option("--kit", help="Ask the connected sites, with the kit of a person who may submit.")
    ] = None,
    site_kit: Annotated[
        list[Path] | None, typer.Option("--site-kit", help="A site's kit on this machine; repeatable.")
    ] = None,
    user: UserOption = None,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds that a site may take to get ready.")] = 300.0,
    as_json: JsonOption = False,
) -> None:
    """Says whether a job would be accepted, by which site and why not, before it is submitted. Trains nothing.

    Where a hospital's people have to approve jobs, it says for how many of them the job waits, and how they do it.

    Exit code 10 if the job is not in order, a site of --site-kit would refuse it or waits for approval, or (--kit) too
    few sites accept it.
    """
    from fedvoxel.flare.job_findings import examine

    report = examine(job)
    here = _judge_kits(job, report, site_kit or [], _submitter(kit))
    asked = _ask(report.content, kit, user, timeout) if kit and report.content and not _errors(report) else ()
    problem = _problem(report, here, asked)
    if as_json:
        typer.echo(json.dumps(_as_json(job, report, here, asked, problem), indent=2))
    else:
        from fedvoxel.cli.job_view import show_findings, show_verdicts

        show_findings(str(job), report.findings)
        show_verdicts("By the sites' kits on this machine", here)
        show_verdicts("As the sites answered", asked)
    if problem:
        raise JobError(problem)


@app.command(
    epilog="Example: fedvoxel job submit jobs/hippocampus_fedavg --kit kits/scientist@consortium.example --wait"
)
def submit(
    job: JobArgument,
    kit: Annotated[Path, typer.Option("--kit", help="The kit of a person who may submit jobs.")],
    user: UserOption = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Wait until the job's run has ended; not longer than the server's process lives."),
    ] = False,
    download: Annotated[
        Path | None, typer.Option("--download", help="Wait, then download the result into this folder.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Submits a job from a script; people use submit_job in the admin console, which does the same.

    Exit code 10 if the job is not in order or refused, or (--wait, --download) if it failed, its run is unfinished, or
    the server was started again meanwhile: the run goes on, see it with `fedvoxel watch`.
    """
    from rich.console import Console

    from fedvoxel.flare.job_run import submit_job
    from fedvoxel.flare.session import flare_session

    console = Console(stderr=True)
    with flare_session(kit, user) as session, console.status("submitting") as status:
        ended = submit_job(session, job, wait or download is not None, download, status.update)
    if as_json:
        typer.echo(json.dumps(ended.as_json(), indent=2))
    else:
        typer.echo(ended.sentence())
    if ended.failed:
        raise JobError(ended.sentence())


def _read_plan(path: Path, source_is_said: bool) -> dict[str, Any]:
    """Reads a plan, or finds it in the result of a cohort_statistics job, as values for the job's keys.

    Args:
        path: The file.
        source_is_said: Whether such a job says where its plan comes from.
    """
    from fedvoxel.config import read_json

    values = read_json(path, "the preprocessing plan")
    if not isinstance(values, dict):
        raise ConfigError(f"the preprocessing plan ({path.name}): expected a JSON object, got {type(values).__name__}")
    summary = values.get("summary", values)
    if not (isinstance(summary, dict) and "plan" in summary):
        return {"plan": values}
    return {"plan": summary["plan"]} | ({"plan_source": "statistics"} if source_is_said else {})


def _submitter(kit: Path | None) -> "Submitter":
    from fedvoxel.flare.job_admission import Submitter, submitter_of
    from fedvoxel.governance.kit import open_kit

    return Submitter() if kit is None else submitter_of(open_kit(kit))


def _judge_kits(job: Path, report: "StaticReport", kits: list[Path], submitter: "Submitter") -> tuple["Verdict", ...]:
    from fedvoxel.flare.approval_verdict import with_approval
    from fedvoxel.flare.job_admission import judge, judge_code
    from fedvoxel.governance.kit import open_kit

    opened = [open_kit(folder) for folder in kits]
    if report.content is not None:
        return tuple(with_approval(judge(report.content, kit, submitter), kit, job, submitter) for kit in opened)
    return tuple(judge_code(kit, submitter) for kit in opened) if report.code else ()


def _ask(content: "JobContent", kit: Path, user: str | None, timeout_s: float) -> tuple["Verdict", ...]:
    from rich.console import Console

    from fedvoxel.flare.job_probe import ask_sites
    from fedvoxel.flare.session import flare_session

    console = Console(stderr=True)
    with flare_session(kit, user) as session, console.status("asking the sites") as status:
        return ask_sites(session, content, timeout_s, status.update)


def _errors(report: "StaticReport") -> list[str]:
    return [finding.message for finding in report.findings if finding.level == "error"]


def _problem(report: "StaticReport", here: tuple["Verdict", ...], asked: tuple["Verdict", ...]) -> str | None:
    """Returns why the job would not run, or None."""
    from fedvoxel.flare.job_admission import quorum_problem

    errors = _errors(report)
    if errors:
        return errors[0]
    refusing = [
        f"{verdict.site}{': the job ' if verdict.waits else ' would refuse the job: '}{verdict.reasons[0]}"
        for verdict in here
        if not verdict.accepted
    ]
    if refusing:
        return refusing[0] + (f" (and {len(refusing) - 1} more)" if len(refusing) > 1 else "")
    problem = quorum_problem(report.content, asked) if asked and report.content else None
    if problem is None:
        return None
    return problem + "".join(f"; {verdict.site}: {verdict.reasons[0]}" for verdict in asked if not verdict.accepted)


def _as_json(
    job: Path,
    report: "StaticReport",
    here: tuple["Verdict", ...],
    asked: tuple["Verdict", ...],
    problem: str | None,
) -> dict[str, Any]:
    return {
        "schema_version": 1,
        "job": str(job),
        "accepted": problem is None,
        "problem": problem,
        "findings": [finding.as_json() for finding in report.findings],
        "site_kits": [verdict.as_json() for verdict in here],
        "sites_asked": [verdict.as_json() for verdict in asked],
    }
