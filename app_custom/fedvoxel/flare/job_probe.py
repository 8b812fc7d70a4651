"""Asks the sites of a running consortium whether they would take part in a job, by a small job made from it.

The probe goes through everything that the job itself would go through: deployment, the sites' rights, scopes and class
lists, their executors and trainers, up to the loaded training cases and the built network. It trains nothing. A site
whose class list lacks a component ends a job for everyone, and FLARE does not say which site it was: then each site is
asked by itself.
"""

import tempfile
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from nvflare.fuel.flare_api.flare_api import Session

from fedvoxel.config import load_json_config
from fedvoxel.errors import JobError
from fedvoxel.federation.site_checks import check_sites
from fedvoxel.federation.waits import LOST
from fedvoxel.flare.approval_verdict import not_deployed
from fedvoxel.flare.job_admission import Verdict
from fedvoxel.flare.job_args import FedAvgArgs
from fedvoxel.flare.job_check import CHECK_FILE, CheckResult
from fedvoxel.flare.job_kinds import DRIFT_WATCH, READER_STUDY, STATISTICS, JobContent
from fedvoxel.flare.messages import TASK_CHECK
from fedvoxel.flare.session import abort, connected_sites, delete, download, job_meta, submit, wait_for_job
from fedvoxel.governance.job_files import SERVER
from fedvoxel.governance.job_folder import META_FILE, JobFolder, parse_job, write_job_folder
from fedvoxel.governance.outbound import PrivateReadiness, SiteReadiness
from fedvoxel.privacy.sections import read_section
from fedvoxel.privacy.spare_draws import spare_granted

CONTROLLER = "fedvoxel.flare.job_check.JobCheckController"
PROBE_RUN_KEY = "job_check"
_MARGIN_S = 120.0
_NEVER_RAN = ("FINISHED:FAILED_TO_RUN", "FINISHED:CAN_NOT_SCHEDULE", "FINISHED:ABANDONED")

OnStep = Callable[[str], None]
"""Receives a line on what is being done."""


def ask_sites(session: Session, content: JobContent, timeout_s: float, on_step: OnStep) -> tuple[Verdict, ...]:
    """Asks the connected sites that the job would go to, and says what each answers.

    Args:
        session: A session of someone who may submit jobs.
        content: The job to check.
        timeout_s: How long a site may take to build its network and read its cases.
        on_step: Told what is being done.

    Raises:
        JobError: The job is of a kind that cannot be probed, no site is connected, or the server refuses the probe.
        ConfigError: The job's rounds cannot be run with these sites.
    """
    if content.kind in (STATISTICS, READER_STUDY, DRIFT_WATCH):
        raise JobError("this job trains nothing: submit it, it is its own check; or check it with --site-kit")
    connected, named = connected_sites(session), content.folder.meta.sites
    sites = [site for site in connected if named is None or site in named]
    absent = tuple(Verdict(site, False, ("not connected",)) for site in named or () if site not in connected)
    if not sites:
        raise JobError("no site that the job goes to is connected; start the sites, or see check_status in the console")
    if isinstance(content.server, FedAvgArgs):
        expected = [*sites, *(verdict.site for verdict in absent)]
        check_sites(content.server.rounds, expected, private=content.server.privacy is not None)
    on_step(f"asking {', '.join(sites)}")
    answered = _probe(session, content.folder, sites, timeout_s)
    if answered is None:
        answered = _one_by_one(session, content.folder, sites, timeout_s, on_step)
    return tuple(sorted((*answered, *absent), key=lambda verdict: verdict.site))


def probe_folder(job: JobFolder, sites: Sequence[str], timeout_s: float) -> JobFolder:
    """Returns the job that asks `sites` whether they could run `job`: its executor and filters, another workflow."""
    documents: dict[str, Any] = deepcopy(dict(job.documents))
    meta = documents[META_FILE]
    meta |= {"name": f"check_{job.meta.name}"[:80], "min_clients": 1, "deploy_map": {job.app: [SERVER, *sites]}}
    meta.pop("mandatory_clients", None)
    meta.pop("promises", None)
    args = {"timeout_s": timeout_s, "num_rounds": _planned_rounds(job)}
    server = documents[job.server_document]
    server["workflows"] = [{"id": "check", "path": CONTROLLER, "args": args}]
    executor = documents[job.client_document]["executors"][0]
    executor["tasks"] = [TASK_CHECK]
    # The probe leaves nothing in the state of the run that it asks about.
    executor["executor"]["args"]["run_key"] = PROBE_RUN_KEY
    return parse_job(documents)


def _one_by_one(
    session: Session, job: JobFolder, sites: Sequence[str], timeout_s: float, on_step: OnStep
) -> list[Verdict]:
    verdicts: list[Verdict] = []
    for site in sites:
        on_step(f"the check ended before all had answered; asking {site} alone")
        verdicts += _probe(session, job, [site], timeout_s) or [_silent(job, site)]
    return verdicts


def _silent(job: JobFolder, site: str) -> Verdict:
    reason = (
        "its job process or its line ended before it could answer: most likely its class_allow_list lacks "
        f"{', '.join(job.site_classes())}, or (if this is so at every site) the server's lacks {CONTROLLER}; "
        "run fedvoxel site check there, and see its log.txt"
    )
    return _refused(site, reason)


def _probe(session: Session, job: JobFolder, sites: Sequence[str], timeout_s: float) -> list[Verdict] | None:
    """Runs one probe; None if FLARE ended it before the sites had answered.

    Raises:
        JobError: The server refuses the probe, or does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="fedvoxel-check-") as scratch:
        folder = Path(scratch) / "job_check"
        write_job_folder(probe_folder(job, sites, timeout_s), folder)
        job_id = submit(session, folder)
        try:
            status = wait_for_job(session, job_id, timeout_s=timeout_s + _MARGIN_S)
            refused = _not_deployed(job_meta(session, job_id).get("job_deploy_detail"), sites)
            result = None if status in _NEVER_RAN else _result(session, job_id, Path(scratch))
        except BaseException:
            abort(session, job_id)
            raise
        finally:
            delete(session, job_id)
    if result is None:
        return list(refused.values()) if len(refused) == len(sites) else None
    return [refused.get(site) or _answered(site, result, job, f"did not answer ({status})") for site in sites]


def _answered(site: str, result: CheckResult, job: JobFolder, silent: str) -> Verdict:
    if site in result.ready:
        return verdict_of(site, result.ready[site], job)
    reason = result.missing.get(site, silent)
    return _silent(job, site) if reason == LOST else _refused(site, reason)


def _result(session: Session, job_id: str, scratch: Path) -> CheckResult | None:
    path = download(session, job_id, scratch / "result") / "workspace" / CHECK_FILE
    return load_json_config(CheckResult, path, "the sites' answers") if path.is_file() else None


def _not_deployed(detail: Any, sites: Sequence[str]) -> dict[str, Verdict]:
    """Reads who refused the deployment, and why, from FLARE's list of "site: OK" and "site: reason"."""
    lines = [str(line).partition(": ") for line in detail] if isinstance(detail, list) else []
    refused = {who: said for who, _, said in lines if said != "OK"}
    if SERVER in refused:
        raise JobError(f"the server refused the deployment: {refused[SERVER]}")
    return {site: not_deployed(site, refused[site]) for site in sites if site in refused}


def _refused(site: str, reason: str) -> Verdict:
    return Verdict(site, False, (reason,))


def _planned_rounds(job: JobFolder) -> int:
    rounds = job.controller.args.get("rounds")
    return int(rounds.get("num_rounds", 1)) if isinstance(rounds, dict) else 1


def verdict_of(site: str, told: SiteReadiness | PrivateReadiness, job: JobFolder) -> Verdict:
    """Says what a site's answer means for a job.

    Args:
        site: The site.
        told: What it said of itself; of a protected cohort, nothing about its cases.
        job: The job that it was asked about.
    """
    if isinstance(told, PrivateReadiness):
        accepted, note = told.rounds > 0, _protected_note(told, job)
        return Verdict(site, accepted, (note,), told.model_dump(), accepted)
    trains = told.training_cases != "none"
    notes = () if trains else ("no training case: this site would only evaluate",)
    return Verdict(site, True, notes, told.model_dump(), trains)


def _protected_note(told: PrivateReadiness, job: JobFolder) -> str:
    section, planned = job.executor.executor.args.get("privacy"), _planned_rounds(job)
    who = f"its policy protects each {told.protects} of this cohort"
    unit = section.get("unit") if isinstance(section, dict) else None
    if unit != told.protects:
        return f"{who}: the job needs a privacy section with unit {told.protects!r}, it has {unit or 'none'}"
    if told.rounds < planned:
        return f"{who}: its budget covers {told.rounds} of the {planned} rounds"
    spare = spare_granted(told.rounds - planned, read_section(section).spare_draws)
    return f"{who}: its budget covers all {planned} rounds{spare}; it says nothing about its cases"
