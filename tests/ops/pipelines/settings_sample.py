"""Settings of a pipeline over a job on blobs, in a folder of a test's own."""

from pathlib import Path
from typing import Any

from fedvoxel.records.atomic import write_json
from tests.blob_job import job_documents, write_job


def write_settings(folder: Path, **changes: Any) -> Path:
    """Writes the job, where it is missing, and the settings."""
    if not (folder / "job").exists():
        write_job(folder / "job", job_documents())
    values = {
        "job": "job",
        "kit": "kit",
        "gate": {"minimum_dice": {"blob": 0.5}},
        "describe": "model.json",
        "releases": "releases",
        "reason": "a test",
    }
    write_json(
        folder / "pipeline.json", {key: value for key, value in (values | changes).items() if value != "LEFT OUT"}
    )
    return folder / "pipeline.json"
