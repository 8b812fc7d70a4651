"""Trains and scores one part."""

import time
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.contribution.plan import EVALUATOR, Exact, Part, draw_hospitals, job_of, sent_by_riders
from benchmarks.parts import Values
from fedvoxel.errors import CohortError
from fedvoxel.evaluation.experiment import SiteCases, load_site_cases
from fedvoxel.evaluation.simulation import simulate
from fedvoxel.records.atomic import write_json
from fedvoxel.training.networks import build_network, get_weights
from fedvoxel.training.setup import TrainingTask
from fedvoxel.training.trainer import Trainer
from fedvoxel.updates.update import Arrays
from fedvoxel.volumes.hippocampus import find_hippocampus, hippocampus_cohort, hippocampus_tables
from fedvoxel.volumes.plan import PreparedCase
from fedvoxel.volumes.site import SITE_FILE, ComputeConfig

ONE_THREAD = ComputeConfig(threads=1, device="cpu")


def load_pool(task: TrainingTask, data: Path, work: Path) -> list[PreparedCase]:
    """Returns all cases of the hippocampus set, prepared as the recipe says, in an order of their own.

    Raises:
        CohortError: There is no hippocampus set in `data`.
    """
    folder = find_hippocampus(data)
    if folder is None:
        raise CohortError(f"{data} holds no hippocampus set; name a folder that does with --data")
    pool: list[PreparedCase] = []
    for site, table in hippocampus_tables(folder, work / "cohorts").items():
        file = work / "cohorts" / site / SITE_FILE
        described = {"hippocampus": hippocampus_cohort(table)}
        write_json(file, {"schema_version": 1, "pseudonym_key": "0" * 64, "cohorts": described})
        found = load_site_cases(file, task)
        pool += [*found.training, *found.test, *found.validation]
    return sorted(pool, key=lambda case: case.case)


def measure(part: Part, pool: Sequence[PreparedCase]) -> Values:
    """Trains one part; times are those of the processor, since others may share the machine."""
    sites = draw_hospitals(part, pool)
    if isinstance(part, Exact):
        return _exact(part, sites)
    task, rounds = job_of(part)
    started = time.process_time()
    found = simulate(task, rounds, sites, ONE_THREAD, sends=sent_by_riders(part))
    records = [record.contribution for record in found.rounds]
    return {
        "seconds": time.process_time() - started,
        "records": [record.model_dump(mode="json") for record in found.rounds],
        "evaluations": sum(record.evaluations for record in records if record),
    }


def _exact(part: Exact, sites: dict[str, SiteCases]) -> Values:
    """Trains some of the hospitals from the start and scores what comes out."""
    task, rounds = job_of(part)
    started = time.process_time()
    trained = {site: sites[site] for site in part.sites}
    model: Arrays = get_weights(build_network(task.training.network, len(task.classes) + 1, task.training.seed))
    if trained:
        model = simulate(task, rounds, trained, ONE_THREAD).model
    seconds, started = time.process_time() - started, time.process_time()
    score = _score(task, model, sites[EVALUATOR])
    return {"seconds": seconds, "scoring_seconds": time.process_time() - started, "dice": score}


def _score(task: TrainingTask, model: Arrays, evaluator: SiteCases) -> float:
    trainer = Trainer(task.training, task.classes, (), EVALUATOR, ONE_THREAD.device)
    scores: list[Any] = trainer.evaluate(model, evaluator.validation)
    by_class = [
        mean(values)
        for name in task.classes
        if (values := [value for score in scores if (value := score.dice[name]) is not None])
    ]
    return mean(by_class)
