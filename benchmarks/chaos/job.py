"""The job under test: a real small MONAI trainer on blobs, the same bits in every run without a fault."""

from pathlib import Path

from tests.blob_job import CLIENT, SERVER, controller_of, executor_of, job_documents, write_job

ROUND_TIMEOUT_S = 60.0


def chaos_job(folder: Path, run_key: str, rounds: int, sites: int, epochs: int = 2) -> Path:
    """Writes a job that needs all but one of its sites in each round.

    Args:
        folder: Where its folder goes.
        run_key: Names the job and its run.
        rounds: Number of rounds.
        sites: How many sites the consortium has.
        epochs: Epochs of a round: how long there is something to hit.
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
    executor_of(documents)["executor"]["args"]["run_key"] = run_key
    return write_job(folder / run_key, documents)


__all__ = ["CLIENT", "ROUND_TIMEOUT_S", "SERVER", "chaos_job"]
