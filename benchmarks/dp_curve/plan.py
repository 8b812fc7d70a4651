"""What is run: the protected job at each epsilon, and with one part of its recipe changed at a time."""

from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from benchmarks.dp_curve.federation import PROTECTED, PUBLIC, Job, read_job
from fedvoxel.privacy.accounting import noise_multiplier

EPSILONS: tuple[float | None, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, None)
"""None is the same run without noise."""

LEVER_EPSILON = 8.0

_CHANNELS = "training.network.arguments.channels"
_FEW_ROUNDS = {"privacy.steps_per_round": 5, "rounds.num_rounds": 4}

LEVERS: dict[str, dict[str, Any]] = {
    "every parameter trained": {"training.trainable": None},
    "from the seed, every parameter trained": {"start": None, "training.trainable": None},
    "a quarter of the patients a step": {"privacy.sampling_probability": 0.25, "privacy.expected_batch": 3},
    "two views of each patient": {"privacy.views_per_patient": 2},
    "5 steps a round, 4 rounds": _FEW_ROUNDS,
    "the same, weights averaged": _FEW_ROUNDS | {"training.average_decay": 0.8},
    "half the channels": {_CHANNELS: [8, 16, 32]},
}
"""Changes of the job by what they are called; "start" is no key of the job: None begins from the seed."""


# A calibration takes seconds, and many runs share one.
_noise = cache(noise_multiplier)


@dataclass(frozen=True)
class Run:
    """Is one training run.

    Attributes:
        epsilon: What all rounds together cost; None without noise.
        lever: The part of the recipe that is changed, one of `LEVERS`; "" changes none.
        seed: Of initial weights, views and augmentation. The noise has none.
    """

    epsilon: float | None
    lever: str
    seed: int

    @property
    def name(self) -> str:
        """Names the part."""
        lever = f"lever{list(LEVERS).index(self.lever)}" if self.lever else "curve"
        return f"{lever}_{'none' if self.epsilon is None else f'{self.epsilon:g}'}_{self.seed}"

    @property
    def start(self) -> "Start | None":
        """Is the public model that the run begins with."""
        changes = LEVERS.get(self.lever, {})
        return None if "start" in changes else Start(self.seed, tuple(changes.get(_CHANNELS, ())))

    def job(self) -> Job:
        """Returns the job that gives `epsilon` over all its rounds, and the spare draws that it plans.

        The learning rate falls with the square of noise beyond the job's own: what a step gains grows with the rate and
        what its noise costs with the square of rate and noise, so that the best rate does. It looks at no case.
        """
        changes = {key: value for key, value in LEVERS.get(self.lever, {}).items() if key != "start"}
        own = read_job(PROTECTED, changes | {"promises": None})
        steps = own.privacy.draws(own.rounds.num_rounds) * own.privacy.steps_per_round
        noise, slower = None, 1.0
        if self.epsilon is not None:
            noise = _noise(self.epsilon, own.privacy.delta, own.privacy.sampling_probability, steps)
            slower = min(1.0, (own.privacy.noise_multiplier or noise) / noise) ** 2
        rate = own.args.training.optimizer.learning_rate * slower
        values = {"privacy.noise_multiplier": noise, "training.optimizer.learning_rate": rate}
        # A promise is of the job as it is written; these runs make none.
        return read_job(PROTECTED, changes | values | {"promises": None, "training.seed": self.seed})


@dataclass(frozen=True)
class Start:
    """Is one public model: its seed, and the network's channels where they are not the job's."""

    seed: int
    channels: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Names the part and the file of the model."""
        return f"public{(len(self.channels) and self.channels[0]) or ''}_{self.seed}"

    def job(self) -> Job:
        """Returns the job that trains it."""
        return read_job(PUBLIC, {"training.seed": self.seed} | ({_CHANNELS: self.channels} if self.channels else {}))


def runs(seeds: list[int], lever_seeds: list[int]) -> list[Run]:
    """Returns every run, those of the curve first."""
    curve = [Run(epsilon, "", seed) for seed in seeds for epsilon in EPSILONS]
    return curve + [Run(LEVER_EPSILON, lever, seed) for seed in lever_seeds for lever in LEVERS]


def configuration(what: Run | Start) -> dict[str, Any]:
    """Returns everything that a part depends on, as JSON values."""
    job = what.job()
    args = {"args": job.args.model_dump(mode="json"), "rounds": job.rounds.model_dump(mode="json")}
    begun = configuration(what.start) if isinstance(what, Run) and what.start else None
    return {"what": asdict(what), "start": begun, **args}
