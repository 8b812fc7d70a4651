"""What is known of a job at one moment, as a watcher saw it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from fedvoxel.ops.progress import Progress, SiteStep

LOGGING_IN = "Logging in again"
"""Begins the note of a watcher whose server is gone."""


@dataclass(frozen=True)
class Snapshot:
    """Holds what is known of a job at one moment.

    Attributes:
        job_id: FLARE's id of the job.
        job_name: The job's name.
        status: FLARE's status, "RUNNING" or "FINISHED:COMPLETED" for example; it is no outcome.
        progress: The server's account of the run; None where the job does not run, or keeps none yet.
        steps: How far each site's trainer is, where the site says so.
        resumed_as: The job that goes on with the run of this one, which was interrupted; empty until that is submitted,
            None where none is.
        note: Why the job is not scheduled yet, as FLARE says it, why a running one has no progress, or why the job that
            goes on with an interrupted one is not submitted yet.
    """

    job_id: str
    job_name: str
    status: str
    progress: Progress | None = None
    steps: Mapping[str, SiteStep] = field(default_factory=dict)
    note: str | None = None
    resumed_as: str | None = None

    @property
    def finished(self) -> bool:
        """Says whether FLARE has ended the job, well or badly."""
        return self.status.startswith("FINISHED")

    def to_json(self) -> str:
        """Returns the snapshot as one line of JSON."""
        values = {
            "job_id": self.job_id,
            "job_name": self.job_name,
            "status": self.status,
            "finished": self.finished,
            "progress": None if self.progress is None else self.progress.model_dump(mode="json"),
            "steps": {site: step.model_dump(mode="json") for site, step in self.steps.items()},
            "note": self.note,
            "resumed_as": self.resumed_as,
        }
        return json.dumps(values, ensure_ascii=False, allow_nan=False)
