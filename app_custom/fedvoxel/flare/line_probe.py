"""Measures the sites' lines by a small job made from the one that is planned; it trains nothing and leaves no state."""

import tempfile
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from nvflare.fuel.flare_api.flare_api import Session

from fedvoxel.config import load_json_config
from fedvoxel.errors import JobError
from fedvoxel.federation.line import MeasuredLine
from fedvoxel.flare.job_check import CHECK_FILE, CheckResult
from fedvoxel.flare.job_kinds import JobContent
from fedvoxel.flare.job_probe import probe_folder
from fedvoxel.flare.messages import TASK_CHECK, TASK_INITIALIZE
from fedvoxel.flare.session import abort, connected_sites, delete, download, submit, wait_for_job
from fedvoxel.governance.job_folder import JobFolder, parse_job, write_job_folder

Measured = tuple[MeasuredLine, dict[str, str]]
"""What was measured, and which sites took no part and why."""

_MARGIN_S = 120.0
_QUESTIONS = 9


def measure_line(session: Session, content: JobContent, timeout_s: float, on_step: Callable[[str], None]) -> Measured:
    """Sends the job's model to all connected sites that the job goes to, and back, and returns the times.

    Args:
        session: A session of someone who may submit jobs.
        content: The job.
        timeout_s: How long one of the nine questions may take.
        on_step: Told what is being done.

    Raises:
        JobError: No site is connected, or the server or a site does not take part.
    """
    connected, named = connected_sites(session), content.folder.meta.sites
    sites = [site for site in connected if named is None or site in named]
    if not sites:
        raise JobError("no site that the job goes to is connected; start the sites, or see check_status in the console")
    on_step(f"sending the model to {', '.join(sites)} and back")
    with tempfile.TemporaryDirectory(prefix="fedvoxel-line-") as scratch:
        folder = Path(scratch) / "job_check"
        write_job_folder(line_folder(content.folder, sites, timeout_s), folder)
        job_id = submit(session, folder)
        try:
            status = wait_for_job(session, job_id, timeout_s=_QUESTIONS * timeout_s + _MARGIN_S)
            path = download(session, job_id, Path(scratch) / "result") / "workspace" / CHECK_FILE
        except BaseException:
            abort(session, job_id)
            raise
        finally:
            delete(session, job_id)
        result = load_json_config(CheckResult, path, "what was measured") if path.is_file() else None
    if result is None or result.line is None:
        reasons = "; ".join(f"{site}: {reason}" for site, reason in (result.missing if result else {}).items())
        raise JobError(
            f"the line was not measured ({reasons or status}): see fedvoxel job check with the same kit, which says "
            "which site cannot take part, and that the server and all sites have this version"
        )
    return result.line, result.missing


def line_folder(job: JobFolder, sites: Sequence[str], timeout_s: float) -> JobFolder:
    """Returns the check of a job that measures the line as well."""
    documents: dict[str, Any] = deepcopy(dict(probe_folder(job, sites, timeout_s).documents))
    documents[job.server_document]["workflows"][0]["args"]["measure_line"] = True
    documents[job.client_document]["executors"][0]["tasks"] = [TASK_CHECK, TASK_INITIALIZE]
    return parse_job(documents)
