"""Trains the model of one seed: the hippocampus job's network over four hospitals, whose patients the seed splits."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.hospitals import JOB, task_of
from fedvoxel.errors import CohortError
from fedvoxel.evaluation.experiment import SiteCases, load_site_cases
from fedvoxel.evaluation.simulation import simulate
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.governance.job_folder import read_job_folder
from fedvoxel.records.atomic import write_json
from fedvoxel.training.setup import TrainingTask
from fedvoxel.updates.update import Arrays
from fedvoxel.updates.weights_file import load_weights, save_weights
from fedvoxel.volumes.hippocampus import find_hippocampus, hippocampus_cohort, hippocampus_tables
from fedvoxel.volumes.plan import PreparedCase
from fedvoxel.volumes.site import SITE_FILE, ComputeConfig

ROUNDS = 6
TEST, VALIDATION = 0.25, 0.2
ONE_THREAD = ComputeConfig(threads=1, device="cpu")


@dataclass(frozen=True)
class Hospitals:
    """Is what one seed trains on and tests with.

    Attributes:
        task: What every hospital is told.
        sites: Cases by hospital; each case is a patient of its own.
    """

    task: TrainingTask
    sites: Mapping[str, SiteCases]


def make_hospitals(data: Path, work: Path, seed: int, cases: int | None = None) -> Hospitals:
    """Reads all cases and shares each hospital's out anew: a quarter for the test, a fifth for validation.

    Args:
        data: A folder that holds the hippocampus set.
        work: Where tables go.
        seed: Draws the split, and the model's first weights.
        cases: At most so many of each hospital, for a quick trial.

    Raises:
        CohortError: There is no hippocampus set in `data`.
    """
    folder = find_hippocampus(data)
    if folder is None:
        raise CohortError(f"{data} holds no hippocampus set; name a folder that does with --data")
    task = task_of(read_job_folder(JOB))
    training = task.training.model_copy(update={"seed": seed, "cpu_bfloat16": True})
    task = task.model_copy(update={"training": training})
    sites = {}
    for site, table in hippocampus_tables(folder, work / "cohorts").items():
        file = work / "cohorts" / site / SITE_FILE
        described = {"hippocampus": hippocampus_cohort(table)}
        write_json(file, {"schema_version": 1, "pseudonym_key": "0" * 64, "cohorts": described})
        found = load_site_cases(file, task)
        pool = sorted((*found.training, *found.test, *found.validation), key=lambda case: case.case)
        sites[site] = _shared_out(pool[:cases], np.random.default_rng([seed, len(sites)]))
    return Hospitals(task, sites)


def trained_model(hospitals: Hospitals, work: Path) -> Arrays:
    """Returns the model of these hospitals, trained first where it is not there yet."""
    seed = hospitals.task.training.seed
    path = work / f"model_{seed}.npz"
    if not path.is_file():
        config = RoundsConfig(num_rounds=ROUNDS, min_sites=2)
        found = simulate(
            hospitals.task,
            config,
            hospitals.sites,
            ONE_THREAD,
            lambda done, planned, loss: print(f"seed {seed}: round {done} of {planned}, loss {loss:.3f}", flush=True),
        )
        save_weights(path, found.model)
    return load_weights(path)


def _shared_out(pool: list[PreparedCase], random: np.random.Generator) -> SiteCases:
    order = [pool[place] for place in random.permutation(len(pool))]
    test, validation = round(TEST * len(order)), round(VALIDATION * len(order))
    return SiteCases(
        training=tuple(order[test + validation :]),
        test=tuple(order[:test]),
        validation=tuple(order[test : test + validation]),
    )
