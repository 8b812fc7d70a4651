"""`fedvoxel job retrain`: submits the job of a retraining plan, from the model that is released now."""

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedvoxel.cli.trust_options import RevocationList, read

if TYPE_CHECKING:
    from fedvoxel.flare.retraining import Retraining

RETRAIN_EXAMPLE = "Example: fedvoxel job retrain /srv/fedvoxel/hippocampus-plan --out look-at-it-first"


def retrain(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The plan's folder, with retraining.json.", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Option(help="Write the job into this new folder, and submit nothing.", show_default=False)
    ] = None,
    crl: RevocationList = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON alone on standard output.")] = False,
) -> None:
    """Submits a plan's job under a new run key, beginning with the model that is released now; then people go on.

    Nothing else of the job changes. It does not wait, export or release: see docs/retraining.md. Exit code 3 if plan or
    job is not in order, 17 if no release can be trusted, 8 or 10 if the server cannot be reached or refuses the job.
    """
    from fedvoxel.flare.retraining import next_retraining, read_retraining_plan
    from fedvoxel.governance.job_folder import write_job_folder

    plan = read_retraining_plan(folder)
    kit = folder / plan.kit
    found = next_retraining(folder, plan, read(kit, crl), datetime.now(UTC))
    job_id = None
    if out is None:
        job_id = _submitted(found, kit)
    else:
        write_job_folder(found.job.folder, out)
    said = {"run_key": found.run_key, "start_from": found.start_from, "from_version": found.version}
    if as_json:
        typer.echo(json.dumps({"schema_version": 1, "job_id": job_id, **said}, indent=2))
        return
    typer.echo(f"{plan.model}: run {found.run_key} begins with version {found.version}, of run {found.start_from}")
    if job_id is None:
        typer.echo(f"Nothing was submitted. Next: fedvoxel job check {out} --kit {kit}")
    else:
        typer.echo(f"Submitted as {job_id}. Next, when it has ended: export, evaluate, fedvoxel release promote")


def _submitted(found: "Retraining", kit: Path) -> str:
    from fedvoxel.flare.job_run import submit_job
    from fedvoxel.flare.session import flare_session
    from fedvoxel.governance.job_folder import write_job_folder

    with tempfile.TemporaryDirectory(prefix="fedvoxel-retrain-") as scratch, flare_session(kit) as session:
        job = Path(scratch) / "job"
        write_job_folder(found.job.folder, job)
        return submit_job(session, job, False, None, lambda _: None).job_id
