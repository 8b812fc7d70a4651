"""Audits a job's mechanism in one run with canaries: a lower bound on epsilon beside the one that is claimed.

Canaries are gradients made to be seen: each points along a coordinate of its own, no other has anything there, and it
is ten times longer than the clip bound. Each takes the place of a patient (or of a hospital's update), in the whole run
or in none of it, by a fair coin. They go through the code that trains: sampling, clip, sum, noise, division. The score
of a canary is its product with the sum of all that is released.

What it catches, if it is gross enough (noise a fifth of what it should be, not half): a missing clip, too little noise,
none on many parameters, patients that are sampled too often, steps that nobody accounts for. What it does not catch:
noise that somebody could predict, such as that of a fixed seed. That needs tests of the noise itself, and has them.

Source: Steinke, Nasr, Jagielski, "Privacy auditing with one (1) training run", NeurIPS 2023, section 6 (Dirac
canaries, white box).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fedvoxel.evaluation.attacks.findings import CanaryFinding
from fedvoxel.evaluation.attacks.one_run_bound import Guesses, ruled_out_epsilon, steinke_epsilon
from fedvoxel.evaluation.attacks.separation import auroc, rate_at
from fedvoxel.privacy.guarantee import Guarantee
from fedvoxel.privacy.hospital_mechanism import HospitalMechanism
from fedvoxel.privacy.noise import Noise
from fedvoxel.privacy.patient_mechanism import PatientMechanism
from fedvoxel.privacy.sections import HospitalMechanismConfig, PatientMechanismConfig
from fedvoxel.training.patient_gradients import Gradients, PatientGradients, Sums
from fedvoxel.training.patient_views import Views
from fedvoxel.training.private_training import private_step
from fedvoxel.updates.update import MAX_ABSOLUTE_VALUE, Arrays

CANARIES = 1000
_TOO_LONG = 10.0
"""Length of a canary in clip bounds: without the clip it shows at once."""

_SHARES_GUESSED = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Fixed before any score is seen; a bound over all trials divides the error by their number."""

_PARTS = ("kernel", "bias")

Told = Callable[[int, int], None]
"""Receives (steps done, steps in all)."""


@dataclass(frozen=True)
class Scores:
    """Holds what an auditor sees: for each canary a score, and, to check the guesses, whether it was in."""

    included: NDArray[np.bool_]
    values: NDArray[np.float64]


class CanaryGradients(PatientGradients):
    """Stands where the gradients of patients stand: patient i's is canary i."""

    def __init__(self, canaries: int, clip_norm: float) -> None:
        """Takes an even number of canaries, half of them in each of two arrays."""
        self._length = _TOO_LONG * clip_norm
        self._half = canaries // 2
        self.parameters = {name: torch.nn.Parameter(torch.zeros(self._half, dtype=torch.float64)) for name in _PARTS}

    def zeros(self) -> Sums:
        """Returns the sum over no canary."""
        return {name: torch.zeros_like(one) for name, one in self.parameters.items()}

    def of(self, views: Views) -> Gradients:
        """Returns the canaries whose numbers stand in the first part of `views`, (canaries,)."""
        numbers = views[0].long()
        rows = torch.zeros((len(numbers), 2 * self._half))
        rows[torch.arange(len(numbers)), numbers] = self._length
        return dict(zip(_PARTS, rows.split(self._half, dim=1), strict=True))

    def released(self) -> NDArray[np.float64]:
        """Returns minus the sum of all steps taken, by canary."""
        return np.concatenate([-self.parameters[name].detach().numpy() for name in _PARTS])


def patient_scores(
    mechanism: PatientMechanism,
    steps: int,
    random: np.random.Generator,
    canaries: int = CANARIES,
    told: Told | None = None,
) -> Scores:
    """Trains nothing but canaries for as many private steps as the run has.

    Args:
        mechanism: The job's own.
        steps: Of the whole run.
        random: Tosses the coins of the canaries; the mechanism's noise is its own.
        canaries: Their number, even.
        told: Told after every step.
    """
    included = random.random(canaries) < 0.5
    gradients = CanaryGradients(canaries, mechanism.config.clip_norm)
    optimizer = torch.optim.SGD(gradients.parameters.values(), lr=1.0)
    for step in range(steps):
        sampled = mechanism.sample(canaries)
        private_step(gradients, _views(sampled[included[sampled]]), mechanism, optimizer)
        if told:
            told(step + 1, steps)
    return Scores(included, gradients.released())


def hospital_scores(
    mechanism: HospitalMechanism,
    rounds: int,
    random: np.random.Generator,
    canaries: int = CANARIES,
    told: Told | None = None,
) -> Scores:
    """Sums canaries in the place of hospitals' updates, and releases the sum as often as the run has rounds.

    Args:
        mechanism: The job's own, but for as many sites as there are canaries, which changes the divisor alone.
        rounds: Of the whole run.
        random: Tosses the coins of the canaries.
        canaries: Their number.
        told: Told after every round.
    """
    included = random.random(canaries) < 0.5
    longest = min(_TOO_LONG * mechanism.config.greatest_clip_norm, MAX_ABSOLUTE_VALUE)
    total = np.zeros(canaries)
    for index in range(rounds):
        bound, summed = mechanism.clip_norm, mechanism.new_sum({_PARTS[0]: (canaries,)})
        for number in np.flatnonzero(included):
            summed.add(mechanism.clip(_one(canaries, int(number), longest)))
        # In bounds: where the bound adapts, every round counts alike.
        total += mechanism.release(summed)[_PARTS[0]] / bound
        if told:
            told(index + 1, rounds)
    return Scores(included, total)


def audit_mechanism(
    config: PatientMechanismConfig | HospitalMechanismConfig,
    rounds: int,
    seed: int,
    noise: Noise | None = None,
    told: Told | None = None,
) -> CanaryFinding:
    """Runs canaries through a job's mechanism and compares what they prove with what the job claims.

    Args:
        config: The job's privacy section.
        rounds: Of the whole run; its spare draws are made as well, since the claim counts them.
        seed: Of the canaries' coins.
        noise: Other noise than the mechanism's own, for tests.
        told: Told after every step or round.
    """
    random, draws = np.random.default_rng(seed), config.draws(rounds)
    mechanism: PatientMechanism | HospitalMechanism
    if isinstance(config, PatientMechanismConfig):
        mechanism = PatientMechanism(config, noise)
        scores = patient_scores(mechanism, draws * config.steps_per_round, random, told=told)
    else:
        mechanism = HospitalMechanism(config.model_copy(update={"sites": CANARIES}), noise)
        scores = hospital_scores(mechanism, draws, random, told=told)
    return _finding(scores, mechanism, rounds)


def guess(scores: Scores, share: float) -> Guesses:
    """Guesses "in" above the mean score and "out" below, for the given share of canaries, the farthest from the mean.

    About half of the canaries are in, so that the mean lies between those that are and those that are not.
    """
    distance = scores.values - scores.values.mean()
    made = max(1, round(len(distance) * share))
    surest = np.argsort(-np.abs(distance), kind="stable")[:made]
    correct = int(((distance > 0) == scores.included)[surest].sum())
    return Guesses(len(distance), made, correct)


def _finding(scores: Scores, mechanism: PatientMechanism | HospitalMechanism, rounds: int) -> CanaryFinding:
    trials = [guess(part, share) for part in _parts(scores) for share in _SHARES_GUESSED]
    (event,), delta = mechanism.events(mechanism.config.draws(rounds)), mechanism.config.delta
    proved = max(steinke_epsilon(one, delta, 0.05 / len(trials)) for one in trials)
    claimed: Guarantee | None = None
    if event.noise_multiplier:
        claimed = mechanism.guarantee(rounds)
    curve = ruled_out_epsilon(event, delta, trials) if event.noise_multiplier else None
    inside, outside = scores.values[scores.included], scores.values[~scores.included]
    return CanaryFinding(
        unit=mechanism.config.unit,
        canaries=len(scores.values),
        releases=event.count,
        delta=delta,
        epsilon_claimed=claimed.epsilon if claimed else None,
        epsilon_proved=max(proved, curve or 0.0),
        epsilon_proved_by_any_mechanism=proved,
        auroc=auroc(inside, outside),
        rate_at_1_percent=rate_at(inside, outside, 0.01),
        rate_at_10_percent=rate_at(inside, outside, 0.1),
    )


def _parts(scores: Scores) -> list[Scores]:
    """Returns all scores and each array's: where one has no noise, the other's would hide it."""
    half = len(scores.values) // 2
    cuts = (slice(None), slice(half), slice(half, None))
    return [Scores(scores.included[cut], scores.values[cut]) for cut in cuts]


def _views(numbers: NDArray[np.int64]) -> Iterator[Views]:
    if numbers.size:
        yield torch.from_numpy(numbers), torch.empty(0)


def _one(size: int, number: int, length: float) -> Arrays:
    array = np.zeros(size, dtype=np.float32)
    array[number] = length
    return {_PARTS[0]: array}
