"""The job under test: a real small MONAI trainer on blobs, the same bits in every run without a fault."""

from pathlib import Path
from typing import Any

from fedvoxel.privacy.guarantee import PrivacyUnit
from tests.blob_job import CLIENT, SERVER, controller_of, executor_of, job_documents, write_job

ROUND_TIMEOUT_S = 60.0

_SPARE_DRAWS = 30
"""For the rounds that faults have sites draw twice."""

_PROTECTION: dict[PrivacyUnit, dict[str, Any]] = {
    "patient": {
        "unit": "patient",
        "clip_norm": 0.5,
        "noise_multiplier": 2.0,
        "sampling_probability": 0.5,
        "steps_per_round": 4,
        "delta": 1e-3,
        "expected_batch": 4,
        "spare_draws": _SPARE_DRAWS,
    },
    "hospital": {
        "unit": "hospital",
        "clip_norm": 0.5,
        "noise_multiplier": 3.0,
        "sites": 3,
        "delta": 1e-3,
        "spare_draws": _SPARE_DRAWS,
    },
}


def cohort_of(unit: PrivacyUnit | None) -> str:
    """Returns the cohort on which a job trains that protects these."""
    return f"protected_{unit}" if unit else "blobs"


def chaos_job(
    folder: Path, run_key: str, rounds: int, sites: int, epochs: int = 2, unit: PrivacyUnit | None = None
) -> Path:
    """Writes a job that needs all but one of its sites in each round.

    Args:
        folder: Where its folder goes.
        run_key: Names the job and its run.
        rounds: Number of rounds.
        sites: How many sites the consortium has.
        epochs: Epochs of a round: how long there is something to hit.
        unit: Whom it protects; None for a job without a privacy section.
    """
    documents = job_documents(epochs_per_round=epochs)
    documents["meta.json"] |= {"name": run_key, "min_clients": max(1, sites - 1)}
    controller = controller_of(documents)["args"]
    controller["run_key"] = run_key
    controller["rounds"] = {
        "num_rounds": rounds,
        "min_sites": max(1, sites - 1),
        "round_timeout_s": ROUND_TIMEOUT_S,
    }
    executor = executor_of(documents)["executor"]["args"]
    executor |= {"run_key": run_key, "cohort": cohort_of(unit)}
    if unit == "patient":
        for overruled in ("epochs_per_round", "batch_size"):  # by the guarantee's own
            executor["training"].pop(overruled, None)
    if unit:
        controller["rounds"]["evaluate"] = False
        controller["privacy"] = executor["privacy"] = _PROTECTION[unit]
    return write_job(folder / run_key, documents)


__all__ = ["CLIENT", "ROUND_TIMEOUT_S", "SERVER", "chaos_job", "cohort_of"]
