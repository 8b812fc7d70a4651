"""A finished job on made-up blobs as download_job leaves it, and the kit of a hospital that took part."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fedvoxel.config import parse_config
from fedvoxel.federation.channels import StartModel
from fedvoxel.federation.outcome import ModelFile, RoundRecord, RunOutcome, write_outcome
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.ledger import open_ledger
from fedvoxel.privacy.ledger_entries import RunPlan
from fedvoxel.privacy.policy import CohortBudget, PrivacyPolicy, grant, write_privacy_policy
from fedvoxel.privacy.sections import read_section
from fedvoxel.records.atomic import write_json
from fedvoxel.records.canonical import sha256_of_file
from fedvoxel.training.networks import build_network, get_weights
from fedvoxel.training.setup import TrainingTask
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import save_weights, to_bytes
from tests.training.conftest import training_section, write_site

RUN_KEY, JOB_ID, SITE = "blob_run", "3c5c62d1-6b7d-4f0e-a1f7-2b1f6d1e8a11", "hospital-a"
ROUNDS = 3


def blob_task(privacy: dict[str, Any] | None = None, **training: Any) -> TrainingTask:
    """The job's task."""
    task = {"cohort": "blobs", "classes": ["blob"], "plan": {}, "training": training_section(**training)}
    return parse_config(TrainingTask, task | {"privacy": privacy}, "the test's task")


def initial_weights(task: TrainingTask) -> dict[str, np.ndarray]:
    """The weights that the job's seed draws."""
    return get_weights(build_network(task.training.network, len(task.classes) + 1, task.training.seed))


def finished_job(
    folder: Path, task: TrainingTask, model: Arrays | None = None, start: StartModel | None = None, **said: Any
) -> Path:
    """Writes the result of a job and returns its folder; keywords go into its outcome."""
    workspace = folder / JOB_ID / "workspace"
    arguments = {"run_key": RUN_KEY, **task.model_dump(mode="json")}
    client = {"executors": [{"tasks": ["train"], "executor": {"path": "x", "args": arguments}}]}
    write_json(workspace / "app_server" / "config" / "config_fed_client.json", client)
    save_weights(workspace / "global_model.npz", model or initial_weights(task))
    values: dict[str, Any] = {
        "run_key": RUN_KEY,
        "job_id": JOB_ID,
        "job_name": "blob_job",
        "status": "finished",
        "rounds_planned": ROUNDS,
        "rounds_committed": ROUNDS,
        "sites": (SITE, "hospital-b"),
        "rounds": tuple(RoundRecord(round=index, seconds=1.0) for index in range(ROUNDS)),
        "model": ModelFile(file="global_model.npz", sha256=sha256_of_file(workspace / "global_model.npz")),
        "start_from": start,
        "started": datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
        "finished": datetime(2026, 3, 2, 9, 40, tzinfo=UTC),
    }
    write_outcome(RunOutcome(**(values | said)), workspace / "outcome.json")
    return folder / JOB_ID


def hospital_kit(folder: Path, cases: int = 12, **cohort: Any) -> Path:
    """Writes what an audit needs of a hospital's kit."""
    kit = folder / SITE
    (kit / "local").mkdir(parents=True)
    write_site(kit / "local", cases, **cohort)
    write_privacy_policy(kit / "local", PrivacyPolicy(schema_version=1))
    grant(kit / "local", "blobs", CohortBudget(unit="patient", epsilon=50, delta=0.01))
    return kit


def send_round(kit: Path, privacy: dict[str, Any], update: Arrays, round_index: int = 0) -> None:
    """Has the hospital keep and send an update as it does in a round."""
    section = read_section(privacy)
    event = GaussianEvent(
        noise_multiplier=section.noise_multiplier or 0.0,
        sampling_probability=privacy["sampling_probability"],
        count=privacy["steps_per_round"],
    )
    ledger = open_ledger(kit / "local", kit / "state", "blobs")
    plan = RunPlan(unit="patient", event=event, draws=ROUNDS, delta=section.delta)
    reservation = ledger.reserve(RUN_KEY, JOB_ID, round_index, plan)
    ledger.keep(reservation, to_bytes(update))
    ledger.bytes_to_send(reservation.release_id)
