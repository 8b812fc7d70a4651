"""From guesses about canaries to a lower bound on epsilon: what one run of a mechanism proves about its privacy loss.

Each of m canaries was put in by a fair coin of its own. An auditor who sees the outcome guesses for r of them whether
they were in, v times rightly. A mechanism that is as private as it says makes many right guesses improbable; the bound
is the largest epsilon that is ruled out with the wanted confidence. It proves a leak, never its absence.

Source: Steinke, Nasr, Jagielski, "Privacy auditing with one (1) training run", NeurIPS 2023, theorem 5.2; Mahloujifar,
Melis, Chaudhuri, "Auditing f-differential privacy in one run", 2024 (arXiv 2410.22235), theorem 9, with abstention.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from fedvoxel.privacy.accounting import epsilon, to_dp_event
from fedvoxel.privacy.events import GaussianEvent

ERROR = 0.05
"""Probability with which a sound mechanism's bound may be too high: confidence 95 %."""

Curve = Callable[[float], float]
"""Gives the least probability that an event keeps when a unit is left out, from its probability (0 to 1) with it."""

_LARGEST = 40.0
_MOST_NOISE, _LEAST_NOISE = 64.0, 1 / 4
_HALVINGS = 8
_CURVE_POINTS = 32
_CURVE_DELTA = 1e-6
_CURVE_STEP = 1e-3
"""Width of the accountant's bins: ten times that of a claim, in a tenth of the time, and pessimistic all the same."""


@dataclass(frozen=True)
class Guesses:
    """Says how an auditor guessed.

    Attributes:
        canaries: All canaries, m.
        made: Guesses, r; on the other canaries the auditor abstained.
        correct: Right guesses, v.
    """

    canaries: int
    made: int
    correct: int


def steinke_epsilon(guesses: Guesses, delta: float, error: float = ERROR) -> float:
    """Returns the largest epsilon that is ruled out, whatever the mechanism; 0 where none is.

    Args:
        guesses: How the auditor guessed.
        delta: Of the claim, in [0, 1).
        error: Probability that the bound is too high.
    """
    if _p_value(guesses, 0.0, delta) >= error:
        return 0.0
    low, high = 0.0, _LARGEST
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if _p_value(guesses, middle, delta) < error else (low, middle)
    return low


def rules_out(curve: Curve, guesses: Guesses, error: float = ERROR) -> bool:
    """Says whether a mechanism whose trade-off curve is `curve`, or a more private one, is ruled out.

    The probability of exactly so many right guesses, or more, is assumed to be `error`; each smaller number of right
    guesses then has a least probability, from one to the next by the curve. Where they add up to more than one, the
    assumption was wrong.
    """
    share = guesses.made / guesses.canaries
    right = error * share * guesses.correct / guesses.made
    wrong = error * share * (guesses.made - guesses.correct) / guesses.made
    for index in range(guesses.correct - 1, -1, -1):
        grown = max(wrong, curve(right))
        right += index / (guesses.made - index) * (grown - wrong)
        wrong = grown
        if right + wrong > share:
            return True
    return False


def gaussian_curve(mu: float) -> Curve:
    """Returns the curve of a Gaussian mechanism of sensitivity `mu` standard deviations."""
    return lambda probability: float(ndtr(ndtri(probability) - mu))


def event_curve(event: GaussianEvent) -> Curve:
    """Returns a curve that an accounted event keeps: exact without sampling, else from the accountant's bounds."""
    if event.sampling_probability == 1:
        return gaussian_curve(math.sqrt(event.count) / event.noise_multiplier)
    from dp_accounting import NeighboringRelation
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE, _CURVE_STEP).compose(to_dp_event([event]))
    epsilons = accountant.get_epsilon(_CURVE_DELTA) * np.linspace(0, 1, _CURVE_POINTS) ** 1.5
    deltas = np.asarray(accountant.get_delta(epsilons))
    grown = np.exp(epsilons)

    def curve(probability: float) -> float:
        # Of the event itself, and of everything but the event, which the bound holds for as well.
        itself = (probability - deltas) / grown
        rest = 1 - deltas - grown * (1 - probability)
        return max(0.0, float(itself.max()), float(rest.max()))

    return curve


def ruled_out_epsilon(event: GaussianEvent, delta: float, trials: Sequence[Guesses], error: float = ERROR) -> float:
    """Returns the largest epsilon, among those of the same mechanism with more or less noise, that is ruled out.

    Args:
        event: What the mechanism says that it did, noise above 0.
        delta: Of the claim.
        trials: Guesses on the same scores with more or fewer abstentions; each has its share of `error`.
        error: Probability that the bound is too high.

    Returns:
        An epsilon at `delta`: above the claimed one only where the claim itself is ruled out; 0 where nothing is.
    """

    def scaled(scale: float) -> GaussianEvent:
        return event.model_copy(update={"noise_multiplier": event.noise_multiplier * scale})

    def refuted(scale: float) -> bool:
        curve = event_curve(scaled(scale))
        return any(rules_out(curve, guesses, error / len(trials)) for guesses in trials)

    # Whatever rules out some noise rules out more of it too, so that the refuted scales begin somewhere and do not end.
    low, high = (_LEAST_NOISE, 1.0) if refuted(1.0) else (1.0, _MOST_NOISE)
    if high == _MOST_NOISE and not refuted(_MOST_NOISE):
        return 0.0
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if refuted(middle) else (middle, high)
    return epsilon([scaled(high)], delta)


def _p_value(guesses: Guesses, epsilon_tried: float, delta: float) -> float:
    """Bounds the probability of so many right guesses under (epsilon, delta)-differential privacy."""
    rate = 1 / (1 + math.exp(-epsilon_tried))
    beta = float(binom.sf(guesses.correct - 1, guesses.made, rate))
    below = np.cumsum(binom.pmf(np.arange(guesses.correct - 1, -1, -1), guesses.made, rate))
    alpha = float(np.max(below / np.arange(1, guesses.correct + 1), initial=0.0))
    return min(1.0, beta + 2 * guesses.canaries * delta * alpha)
