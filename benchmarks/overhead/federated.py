"""Our job as a consortium runs it: server and hospitals in processes of their own over mutual TLS.

The consortium is up and registered beforehand. The clock runs from the submission of the job folder by the data
scientist until (1) the outcome lies on the server's disk, and (2) FLARE says to the submitter that the job is finished.
"""

import time
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.hospitals import Hospitals, write_variant
from benchmarks.parts import Values
from fedvoxel.config import load_json_config
from fedvoxel.errors import JobError
from fedvoxel.federation.outcome import OUTCOME_FILE, RunOutcome
from fedvoxel.flare.consortium_processes import running_consortium
from fedvoxel.flare.session import Session, flare_session, job_meta, submit
from fedvoxel.governance.consortium import Consortium

RUN_KEY = "benchmark_overhead"
_LOOK_S = 0.1
_SELDOM_S = 5.0


def run_federated(hospitals: Hospitals, rounds: int, work: Path) -> Values:
    """Runs the job once and returns its times.

    Raises:
        JobError: The run did not finish all its rounds with every hospital.
    """
    return run_once(hospitals.consortium, write_variant(work / "job", rounds, RUN_KEY), RUN_KEY)


def run_once(
    consortium: Consortium, job: Path, run_key: str, running: AbstractContextManager[object] | None = None
) -> Values:
    """Runs the job folder `job` once and returns its times; `submitted` is in seconds since 1970.

    Args:
        consortium: Who runs it.
        job: The job's folder.
        run_key: The job's run key.
        running: Starts the consortium and stops it again; as on one machine when None.

    Raises:
        JobError: The run did not finish all its rounds with every hospital.
    """
    record = consortium.server_kit / "state" / "runs" / run_key / OUTCOME_FILE
    record.unlink(missing_ok=True)
    kit = consortium.kit(consortium.person("lead"))
    with running or running_consortium(consortium.workspace), flare_session(kit) as session:
        started = time.time()
        job_id = submit(session, job)
        _wait(session, job_id, record)
        finished = time.time()
    outcome = _complete(record)
    return {
        "submitted": started,
        "seconds": finished - started,
        "outcome_s": record.stat().st_mtime - started,
        "job_id": job_id,
        "test_dice": _mean_dice(outcome),
        "stages": _stages(outcome, started, finished),
    }


def _wait(session: Session, job_id: str, record: Path) -> None:
    """Waits for FLARE's word; asks often only when the outcome is there, since asking costs the server time."""
    asked_s = -_SELDOM_S
    while True:
        if record.is_file() or time.monotonic() - asked_s >= _SELDOM_S:
            asked_s = time.monotonic()
            if str(job_meta(session, job_id).get("status")).startswith("FINISHED"):
                return
        time.sleep(_LOOK_S)


def _complete(record: Path) -> RunOutcome:
    if not record.is_file():
        raise JobError("the run left no outcome; see the logs in the benchmark's consortium folder")
    outcome = load_json_config(RunOutcome, record, "the run's outcome")
    absent = [site for one in outcome.rounds for site in (*one.missing, *one.refused)]
    if outcome.status != "finished" or absent:
        raise JobError(f"the run is not comparable: {outcome.status}, {outcome.reason}; absent: {absent}")
    return outcome


def _stages(outcome: RunOutcome, started: float, finished: float) -> dict[str, float]:
    rounds_s = sum(one.seconds for one in outcome.rounds)
    run_s = (outcome.finished - outcome.started).total_seconds()
    return {
        "submission until the run starts": outcome.started.timestamp() - started,
        "initial model, validation of the last one, test": run_s - rounds_s,
        "rounds": rounds_s,
        "outcome until FLARE says finished": finished - outcome.finished.timestamp(),
    }


def _mean_dice(outcome: RunOutcome) -> float:
    """Returns the mean Dice over all test cases and classes."""
    scores = [(one.cases, one.dice_mean) for site in outcome.test.values() for one in site.classes.values()]
    known = [(cases, dice) for cases, dice in scores if dice is not None]
    return sum(cases * dice for cases, dice in known) / sum(cases for cases, _ in known)
