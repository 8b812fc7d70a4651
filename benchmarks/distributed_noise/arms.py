"""What is compared: who adds how much of the noise, and in how many rounds the same hundred steps are taken."""

from dataclasses import asdict, dataclass
from functools import cache
from math import sqrt
from typing import Any

from benchmarks.distributed_noise.hospitals import PATIENTS, SITES
from fedvoxel.config import parse_config
from fedvoxel.federation.rounds_config import RoundsConfig
from fedvoxel.privacy.accounting import noise_multiplier
from fedvoxel.training.setup import TrainingTask

EPSILON, DELTA, STEPS = 8.0, 1e-3, 100
SAMPLING, CLIP = 0.32, 0.5
BATCH = SAMPLING * PATIENTS
"""Expected patients in one hospital's sample."""

NETWORK = {
    "name": "UNet",
    "arguments": {
        "channels": [8, 16, 32],
        "strides": [2, 2],
        "num_res_units": 1,
        "norm": ["instance", {"affine": True}],
    },
}
SIZE = [20, 28, 20]
"""Voxels of 2 mm: half of the set's resolution."""

RATES = (0.01, 0.005, 0.02)
"""Learning rates that every arm may choose from."""

_noise = cache(noise_multiplier)


@dataclass(frozen=True)
class Arm:
    """Is one way to train.

    Attributes:
        name: Names the parts.
        words: What the page says.
        rounds: Rounds in which the steps are taken.
        colluders: With shared noise, how many hospitals may collude; None where each hospital adds its own noise.
        dropouts: With shared noise, how many may be missing; none is.
        noise: Times the noise that epsilon asks for; 0 for a run without noise.
    """

    name: str
    words: str
    rounds: int
    colluders: int | None = 0
    dropouts: int = 0
    noise: float = 1.0

    @property
    def shared(self) -> bool:
        """Says whether the server steps along a sum of shares."""
        return self.colluders is not None


ARMS = (
    Arm("local", "each hospital its own noise, 10 rounds of 10 steps (DP-SGD at the site)", 10, colluders=None),
    Arm("own", "each hospital its own noise, 100 rounds of 1 step", STEPS, noise=sqrt(SITES)),
    Arm("shared", "shared noise, nobody colludes, nobody is missing (c = d = 0), 100 rounds of 1 step", STEPS),
    Arm(
        "shared_11", "shared noise, one may collude, one may be missing (c = d = 1), 100 rounds of 1 step", STEPS, 1, 1
    ),
    Arm("none", "no noise, 100 rounds of 1 step", STEPS, noise=0.0),
)
"""With "own" a share is the whole: as many times the noise as makes each of the five as wide as epsilon asks for."""


def task_of(arm: Arm, seed: int, rate: float) -> TrainingTask:
    """Returns what each hospital is told.

    Args:
        arm: The way to train.
        seed: Of initial weights. The noise has none.
        rate: Learning rate, of the hospitals' own steps where they take any.
    """
    needed = _noise(EPSILON, DELTA, SAMPLING, STEPS) * arm.noise
    privacy: dict[str, Any] = {
        "unit": "patient",
        "clip_norm": CLIP,
        "noise_multiplier": needed or None,
        "sampling_probability": SAMPLING,
        "steps_per_round": STEPS // arm.rounds,
        "delta": DELTA,
        "expected_batch": BATCH,
    }
    training: dict[str, Any] = {"network": NETWORK, "sampling": {"kind": "whole", "size": SIZE}, "seed": seed}
    training["inference"] = {"roi_size": SIZE}
    if arm.shared:
        privacy["shared_noise"] = {"sites": SITES, "colluders": arm.colluders, "dropouts": arm.dropouts}
    else:
        training |= {"optimizer": {"name": "Adam", "learning_rate": rate}, "schedule": {"name": "constant"}}
    plan = {"spacing_mm": [2.0, 2.0, 2.0]}
    task = {"cohort": "hippocampus", "classes": ["anterior", "posterior"], "plan": plan, "training": training}
    return parse_config(TrainingTask, task | {"privacy": privacy}, "the benchmark's task")


def rounds_of(arm: Arm, rate: float) -> RoundsConfig:
    """Returns what the server is told."""
    step = {"name": "adam", "learning_rate": rate} if arm.shared else {"name": "plain"}
    values = {"num_rounds": arm.rounds, "evaluate": False, "server_optimizer": step}
    return parse_config(RoundsConfig, values, "the benchmark's rounds")


def configuration(arm: Arm, seed: int, rate: float) -> dict[str, Any]:
    """Returns everything that a part depends on, as JSON values."""
    task, rounds = task_of(arm, seed, rate), rounds_of(arm, rate)
    return {"arm": asdict(arm), "task": task.model_dump(mode="json"), "rounds": rounds.model_dump(mode="json")}
