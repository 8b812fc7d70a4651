"""The steps that ask the consortium: is the job accepted, submit it, wait for its run and bring the result home."""

import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from fedvoxel.errors import ConfigError, JobError
from fedvoxel.evaluation.comparison.parts import Values
from fedvoxel.evaluation.job_result import model_warnings, open_job_result
from fedvoxel.export.job_model import check_common, read_description
from fedvoxel.federation.attempts import ENDED_WELL
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome, load_outcome
from fedvoxel.flare.job_run import submit_job
from fedvoxel.flare.session import download, flare_session
from fedvoxel.ops.job_session import looks
from fedvoxel.ops.pipelines.command import run_command
from fedvoxel.ops.pipelines.run import PipelineRun, Step, hash_of
from fedvoxel.ops.snapshot import Snapshot
from fedvoxel.records.canonical import sha256_of_file

_LOOK_S = 2.0
_RESULTS, _INCOMING = "result", "incoming"


def result_of(run: PipelineRun) -> Path:
    """Returns the folder of the downloaded job.

    Raises:
        ConfigError: The step `wait` is not finished.
    """
    return result_folder(run, str(run.needed("wait")["job_id"]))


def _check(run: PipelineRun) -> Values:
    """Asks every connected hospital whether it would take the job with its own cohort."""
    _foresee(run)
    words: list[Any] = ["job", "check", run.settings.job, "--kit", run.settings.kit, "--json"]
    for kit in run.settings.site_kits:
        words += ["--site-kit", kit]
    said = json.loads(run_command(*words, holding=run.record.lock))
    return {"sites": sorted(one["site"] for one in said["sites_asked"] if one["accepted"])}


def _foresee(run: PipelineRun) -> None:
    """Looks before the training at what would end the pipeline after it.

    Raises:
        ConfigError: The description or the gate does not fit the job, or the job gives no model that could pass.
    """
    (task, server), rule = run.asked, run.settings.gate
    read_description(run.settings.describe, task)
    check_common(task)
    if set(rule.minimum_dice) != set(task.classes):
        classes, named = ", ".join(task.classes), ", ".join(rule.minimum_dice)
        raise ConfigError(f"gate.minimum_dice: expected a minimum for each of the job's classes {classes}, got {named}")
    if unknown := sorted(set(rule.minimum_dice_of_each_hospital) - set(task.classes)):
        raise ConfigError(f"gate.minimum_dice_of_each_hospital: the job has no class {unknown[0]}")
    if server.privacy is not None or not server.rounds.evaluate:
        raise ConfigError(
            "no score leaves the hospitals in this job (a privacy section, or rounds.evaluate false): no gate could "
            "let its model pass. Use `fedvoxel job submit`; hospitals judge the model with `fedvoxel site score`"
        )


def _submit(run: PipelineRun) -> Values:
    # Of a submission that was begun the job may train already: then its result is waited for, whatever changed since.
    if run.record.submission(run.job_sha256) is None:
        _foresee(run)
    begun = run.record.begin_submission(run.job_sha256)
    with flare_session(run.settings.kit) as session:
        job = submit_job(session, run.settings.job, False, None, _say, begun.token)
    return {"job_id": job.job_id, "token": begun.token}


def _is_under_way(run: PipelineRun, values: Values) -> bool:
    begun = run.record.submission(run.job_sha256)
    return begun is not None and begun.token == values["token"]


def _wait(run: PipelineRun) -> Values:
    """Waits for the last job of the run; one that ended badly is another job when the pipeline is run again."""
    job_id, shown = run.needed("submit")["job_id"], ""
    with closing(looks(run.settings.kit, None, job_id, _LOOK_S)) as seen:
        for last in seen:
            if (now := _words(last)) != shown:
                _say(now)
                shown = now
    outcome = _bring_home(run, last)
    expected = run.asked[0].run_key
    if outcome.run_key != expected:
        raise JobError(f"job {last.job_id} is of the run {outcome.run_key}, expected {expected}")
    if outcome.status not in ENDED_WELL:
        run.record.end_submission(run.job_sha256)
        raise JobError(
            f"job {last.job_id} {outcome.status} ({outcome.reason or 'no reason was given'}); run this again to submit "
            "it anew: the run goes on after its last committed round"
        )
    if lacking := model_warnings(open_job_result(result_folder(run, last.job_id))):
        raise JobError(f"job {last.job_id}: {lacking[0]} Run this again to download it anew")
    return {"job_id": last.job_id, "outcome": hash_of(outcome_file(run, last.job_id), "the outcome")}


def _bring_home(run: PipelineRun, last: Snapshot) -> RunOutcome:
    """Downloads a job's result; what an interrupted download has left is no result."""
    _say(f"downloading job {last.job_id}")
    with flare_session(run.settings.kit) as session:
        arrived = download(session, last.job_id, run.record.fresh(_INCOMING))
    os.replace(arrived, run.record.fresh(_RESULTS) / last.job_id)
    if not outcome_file(run, last.job_id).is_file():
        run.record.end_submission(run.job_sha256)
        raise JobError(f"job {last.job_id} ended as {last.status} without an outcome; run this again to submit it anew")
    return load_outcome(outcome_file(run, last.job_id))


def _is_at_home(run: PipelineRun, values: Values) -> bool:
    path, folder = outcome_file(run, values["job_id"]), result_folder(run, values["job_id"])
    whole = path.is_file() and sha256_of_file(path) == str(values["outcome"])
    return whole and not model_warnings(open_job_result(folder))


def result_folder(run: PipelineRun, job_id: str) -> Path:
    """Returns where a downloaded job is."""
    return run.record.folder / _RESULTS / job_id


def outcome_file(run: PipelineRun, job_id: str) -> Path:
    """Returns where the outcome of a downloaded job is."""
    return result_folder(run, job_id) / "workspace" / OUTCOME_FILE


def _words(seen: Snapshot) -> str:
    progress = seen.progress
    if progress is None:
        return f"job {seen.job_id}: {seen.status}{f' ({seen.note})' if seen.note else ''}"
    return f"job {seen.job_id}: round {progress.round} of {progress.rounds_planned}, {progress.phase}"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _what_is_checked(run: PipelineRun) -> dict[str, Any]:
    classes = sorted(run.settings.gate.minimum_dice)
    return {"job": run.job_sha256, "site_kits": [str(kit) for kit in run.settings.site_kits], "classes": classes}


CHECK = Step(needs=_what_is_checked, work=_check)
SUBMIT = Step(needs=lambda run: {"job": run.job_sha256}, work=_submit, is_whole=_is_under_way)
WAIT = Step(needs=lambda run: {}, work=_wait, is_whole=_is_at_home)
