"""Invented hospitals with blobs of their own, and runs of them with a bad one planted."""

from typing import Any

import numpy as np

from fedvoxel.config import parse_config
from fedvoxel.evaluation.credit.rounds import LookedAt
from fedvoxel.evaluation.experiment import SiteCases
from fedvoxel.evaluation.simulation import Sends, simulate
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.training.setup import TrainingTask
from fedvoxel.volumes.plan import PreparedCase
from fedvoxel.volumes.site import ComputeConfig
from tests.training.conftest import SIZE, training_section

COMPUTE = ComputeConfig(threads=1, device="cpu")
SITES = tuple(f"hospital-{letter}" for letter in "abcde")


def blob(name: str, random: np.random.Generator) -> PreparedCase:
    """Returns a bright blob somewhere in a grey box; its front half is one class, its back half the other."""
    centre = random.uniform(6.5, 9.5, 3)
    grid = np.indices(SIZE).transpose(1, 2, 3, 0) - centre
    inside = np.linalg.norm(grid / random.uniform(3.5, 4.5, 3), axis=-1) < 1
    label = (inside * np.where(grid[..., 1] > 0, 1, 2)).astype(np.uint8)
    voxels = random.normal(size=SIZE) * 0.3 + inside * random.uniform(0.7, 1.3)
    return PreparedCase(name, voxels[None].astype(np.float32), label, (1.0, 1.0, 1.0), np.eye(4))


def hospitals(seed: int = 0, cases: int = 6) -> dict[str, SiteCases]:
    """Returns five hospitals and one that only evaluates."""
    random = np.random.default_rng(seed)
    found = {site: SiteCases(tuple(blob(f"{site}-{index}", random) for index in range(cases)), ()) for site in SITES}
    return found | {"public": SiteCases((), (), tuple(blob(f"public-{index}", random) for index in range(6)))}


def looked_at(
    sites: dict[str, SiteCases], sends: dict[str, Sends] | None = None, rounds: int = 7, **asked: Any
) -> LookedAt:
    """Runs them and returns what the rounds say."""
    arguments = {
        "cohort": "blobs",
        "classes": ["front", "back"],
        "plan": {},
        "training": training_section(augmentation={}),
    }
    task = parse_config(TrainingTask, arguments, "the test's task")
    contribution = {"method": "leave_one_out", "evaluators": ["public"]} | asked
    config = RoundsConfig(num_rounds=rounds, contribution=contribution)
    return LookedAt.of(simulate(task, config, sites, COMPUTE, sends=sends).rounds)
