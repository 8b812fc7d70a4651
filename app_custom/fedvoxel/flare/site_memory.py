"""Keeps what a site remembers of a run apart from what another job under the same run key has left."""

from pathlib import Path

from fedvoxel.config import read_json
from fedvoxel.flare.local_model import local_model_file
from fedvoxel.records.atomic import write_json
from fedvoxel.training.site_state import STATE_KINDS, SiteState


def begin_training(folder: Path, cohort: str, job_id: str) -> None:
    """Drops what another job has left of a cohort's training, when a job trains here for the first time.

    What says which patients' noise was drawn and which rounds went into a secure sum is not touched: it outlives jobs.

    Args:
        folder: The run's folder in the site's state.
        cohort: A cohort that the hospital's policy names, which no path can be.
        job_id: FLARE's id of the job that asks for a round.

    Raises:
        ConfigError: The note of the last job cannot be read.
    """
    note = folder / f"job.{cohort}.json"
    if note.is_file() and read_json(note, "the site's note of the run's job") == {"job": job_id}:
        return
    for kind in STATE_KINDS:
        SiteState(folder, cohort, kind).forget_run()
    local_model_file(folder, cohort).unlink(missing_ok=True)
    write_json(note, {"job": job_id}, mode=0o600)
