"""What only a demonstration can do, since all hospitals lie on one machine: compare with pooled training, and draw."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from fedvoxel.errors import CohortError
from fedvoxel.evaluation.baseline import BaselineKind
from fedvoxel.evaluation.experiment import load_site_cases
from fedvoxel.evaluation.job_result import open_job_result
from fedvoxel.evaluation.make_baseline import make_baseline
from fedvoxel.evaluation.trained_job import read_trained_job
from fedvoxel.evaluation.unseen import unseen_picture
from fedvoxel.governance.consortium import Consortium
from fedvoxel.records.atomic import write_bytes
from fedvoxel.volumes.site import SITE_FILE


def compare(consortium: Consortium, result: Path, progress: Callable[[int, int], None]) -> list[Path]:
    """Trains the pooled model and every hospital's own, as many at a time as there are cores.

    Args:
        consortium: Whose kits describe the cohorts.
        result: The downloaded job.
        progress: Told (models done, models).

    Returns:
        The baseline files; a hospital without training cases has none.
    """
    kits = [consortium.kit(site) for site in consortium.sites]
    plans: list[tuple[BaselineKind, list[Path]]] = [("pooled", kits), *(("local", [kit]) for kit in kits)]
    done: list[Path] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=os.cpu_count() or 1, mp_context=context) as pool:
        futures = [pool.submit(_one, kind, result, chosen) for kind, chosen in plans]
        progress(0, len(futures))
        for count, future in enumerate(as_completed(futures), start=1):
            path = future.result()
            done += [path] if path else []
            progress(count, len(futures))
    return sorted(done)


def draw(consortium: Consortium, result: Path) -> list[Path]:
    """Draws one unseen case of each hospital with the federated model's outline, and returns the PNG's path, if any."""
    found = open_job_result(result)
    job = read_trained_job(found)
    files = {site: consortium.kit(site) / "local" / SITE_FILE for site in consortium.sites}
    cases = {site: load_site_cases(file, job.task) for site, file in files.items()}
    picture = unseen_picture(job.task, job.model, cases)
    if picture is None:
        return []
    path = found.folder / "unseen_cases.png"
    write_bytes(path, picture.png)
    return [path]


def _one(kind: BaselineKind, result: Path, kits: list[Path]) -> Path | None:
    try:
        return make_baseline(kind, result, kits, None)
    except CohortError:
        # A hospital that only evaluates has no model of its own.
        if kind == "pooled":
            raise
        return None
