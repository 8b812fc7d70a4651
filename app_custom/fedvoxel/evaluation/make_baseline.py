"""Makes a baseline file from a downloaded job and hospitals' kits that are at hand."""

from collections.abc import Sequence
from pathlib import Path

from fedvoxel.evaluation.baseline import BaselineKind
from fedvoxel.evaluation.experiment import load_site_cases, run_baseline
from fedvoxel.evaluation.job_result import open_job_result
from fedvoxel.evaluation.trained_job import read_trained_job
from fedvoxel.records.atomic import write_json
from fedvoxel.training.local_steps import Progress
from fedvoxel.volumes.site import SITE_FILE, load_site_config


def make_baseline(
    kind: BaselineKind, result: Path, kits: Sequence[Path], out: Path | None, progress: Progress | None = None
) -> Path:
    """Trains and scores one comparison model and writes its file.

    Args:
        kind: `local` with one kit, `pooled` with several.
        result: The folder that download_job made.
        kits: The hospitals' kits; the first one's compute limits apply.
        out: Folder of the file, the job's folder where None.
        progress: Told (rounds done, rounds, loss).

    Returns:
        The file, readable by its owner only: it holds scores of single cases, by pseudonym.

    Raises:
        FedVoxelError: The result or a kit cannot be used, or there is no training case.
    """
    job_result = open_job_result(result)
    job = read_trained_job(job_result)
    files = {kit.resolve().name: kit.resolve() / "local" / SITE_FILE for kit in kits}
    cases = {name: load_site_cases(file, job.task) for name, file in files.items()}
    compute = load_site_config(next(iter(files.values()))).compute
    baseline = run_baseline(kind, job, cases, compute, progress)
    name = "baseline_pooled.json" if kind == "pooled" else f"baseline_local_{baseline.site}.json"
    path = (out or job_result.folder) / name
    write_json(path, baseline.model_dump(mode="json"), mode=0o600)
    return path
