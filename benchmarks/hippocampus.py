"""Is the federated model as good as training on everybody's scans in one place, and better than every hospital alone?

Runs `jobs/hippocampus_fedavg` on a real consortium (five processes, mutual TLS) with several seeds, and with the same
cases, network and number of epochs: pooled training with each of several optimisers, of which the best counts, and each
hospital alone. Scores are of cases that no model was trained on. Every finished part is kept.

    FEDVOXEL_DATA=... python -m benchmarks.hippocampus
"""

import argparse
import multiprocessing
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.hippocampus_summary import summarise_parts, write_results
from benchmarks.hospitals import JOB, keep_home_inside, make_hospitals
from benchmarks.parts import Parts
from fedvoxel.evaluation.experiment import load_site_cases, run_baseline
from fedvoxel.evaluation.job_result import open_job_result
from fedvoxel.evaluation.trained_job import read_trained_job
from fedvoxel.flare.consortium_processes import running_consortium
from fedvoxel.governance.consortium import Consortium
from fedvoxel.ops.demo_run import run_job
from fedvoxel.training.config import OptimizerConfig
from fedvoxel.volumes.site import SITE_FILE, ComputeConfig

PORT = 28102
POOLED: dict[str, dict[str, Any]] = {
    "muon_0.003": {"name": "MuonAdamW", "learning_rate": 0.003, "arguments": {"momentum": 0.9}},
    "muon_0.006": {"name": "MuonAdamW", "learning_rate": 0.006, "arguments": {"momentum": 0.9}},
    "adamw_0.002": {"name": "AdamW", "learning_rate": 0.002, "arguments": {"weight_decay": 1e-4}},
}
"""Optimisers that pooled training may choose from; the rest of the recipe is the job's."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what is missing and writes docs/results/hippocampus.*."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("FEDVOXEL_DATA", ".")), help="default: FEDVOXEL_DATA"
    )
    parser.add_argument("--work", type=Path, default=Path("work/benchmarks/hippocampus"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    options = parser.parse_args(arguments)
    work: Path = options.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    keep_home_inside(work)
    consortium = make_hospitals(work, options.data, PORT, None).consortium
    parts = Parts(work / "parts")
    for seed in options.seeds:
        print(f"seed {seed}: federated run", flush=True)
        federated = parts.run(f"federated_{seed}", {"seed": seed}, lambda seed=seed: _federated(consortium, seed))
        _comparisons(parts, consortium, Path(federated["result"]), seed)
    write_results(summarise_parts(parts.folder, options.seeds), options.out)


def _federated(consortium: Consortium, seed: int) -> dict[str, Any]:
    """Runs the job with `seed` over FLARE and returns where its result lies and what it says."""
    from fedvoxel.flare.job_kinds import understand, variant
    from fedvoxel.governance.job_folder import read_job_folder, write_job_folder

    folder = consortium.workspace / "jobs" / f"seed_{seed}"
    if not folder.exists():
        changes = {"training.seed": seed, "run_key": f"benchmark_{seed}"}
        write_job_folder(variant(understand(read_job_folder(JOB)), changes).folder, folder)
    with running_consortium(consortium.workspace):
        result = run_job(consortium, folder, lambda snapshot: None)
    # Kept beside the consortium, which a repeated command makes anew.
    kept = consortium.workspace.parent / "results" / f"seed_{seed}"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(result, kept)
    return {"result": str(kept), "outcome": open_job_result(kept).outcome.model_dump(mode="json")}


def _comparisons(parts: Parts, consortium: Consortium, result: Path, seed: int) -> None:
    """Trains pooled and local models, as many at a time as there are cores."""
    context = multiprocessing.get_context("spawn")
    sites = list(consortium.sites)
    plans = [(f"pooled_{name}_{seed}", sites, optimizer) for name, optimizer in POOLED.items()]
    plans += [(f"local_{site}_{seed}", [site], None) for site in sites]
    with ProcessPoolExecutor(max_workers=os.cpu_count() or 1, mp_context=context) as pool:
        waiting: list[tuple[str, dict[str, Any], Future[dict[str, Any]]]] = []
        for name, chosen, optimizer in plans:
            configuration = {"seed": seed, "sites": chosen, "optimizer": optimizer}
            if parts.get(name, configuration) is None:
                files = {site: consortium.kit(site) / "local" / SITE_FILE for site in chosen}
                waiting.append((name, configuration, pool.submit(_baseline, result, files, optimizer)))
        for name, configuration, future in waiting:
            parts.run(name, configuration, future.result)
            print(f"seed {seed}: {name}", flush=True)


def _baseline(result: Path, files: dict[str, Path], optimizer: dict[str, Any] | None) -> dict[str, Any]:
    job = read_trained_job(open_job_result(result))
    if optimizer is not None:
        chosen = job.task.training.model_copy(update={"optimizer": OptimizerConfig(**optimizer)})
        job = replace(job, task=job.task.model_copy(update={"training": chosen}))
    cases = {site: load_site_cases(file, job.task) for site, file in files.items()}
    kind = "pooled" if len(files) > 1 else "local"
    return run_baseline(kind, job, cases, ComputeConfig(threads=1)).model_dump(mode="json")


if __name__ == "__main__":
    main()
