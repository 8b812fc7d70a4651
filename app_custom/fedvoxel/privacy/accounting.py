"""From events to epsilon, and from a wanted epsilon back to the noise it takes.

The accountant is Google's dp-accounting with privacy loss distributions: discretised pessimistically, so that epsilon
is an upper bound, and about 9 % tighter than Rényi accounting. The relation is add-or-remove-one throughout; asking
this accountant for replace-one would double the sensitivity, and two numbers of different relations cannot be
compared.

The bound holds for parameters that were fixed in advance. Parameters chosen after seeing earlier releases are not
covered by it: the ledger adds such runs up by basic composition.

Source: Koskela, Jälkö, Honkela, "Computing tight differential privacy guarantees using FFT", AISTATS 2020; Doroshenko
et al., "Connect the dots", PoPETs 2022; Mironov, Talwar, Zhang, "Rényi differential privacy of the sampled Gaussian
mechanism", 2019 (arXiv 1908.10530).
"""

import math
from collections import Counter
from collections.abc import Sequence

import dp_accounting
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from fedvoxel.errors import ConfigError
from fedvoxel.privacy.events import GaussianEvent
from fedvoxel.privacy.guarantee import NEIGHBOURING, Guarantee, PrivacyUnit
from fedvoxel.privacy.targets import check_delta_range, check_epsilon

_RELATION = dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE

LARGEST_EPSILON = 100.0
"""Beyond it epsilon says only that nothing is protected, and the Rényi bound is returned: the table of a privacy loss
distribution grows with epsilon, and absurd parameters from a job must not fill a hospital's memory."""

_RENYI_ORDERS = tuple(range(2, 65))
"""Whole orders only: they have a closed form that always converges, and nothing is written to absl's log."""

_FINEST = 1e-4
"""The width of the accountant's bins: no claim is stated finer."""

_CALIBRATION_STEP = 1.5
_CALIBRATION_TOLERANCE = 1e-4


def epsilon(events: Sequence[GaussianEvent], delta: float) -> float:
    """Returns an upper bound of epsilon for all of `events` together.

    Args:
        events: Everything that was released, in any order; their parameters were fixed before the first release.
        delta: In (0, 1).

    Returns:
        Epsilon >= 0; 0 for no events, infinity where one event has no noise.

    Raises:
        ConfigError: `delta` is out of range.
    """
    check_delta_range(delta)
    if not events:
        return 0.0
    if any(event.noise_multiplier == 0 for event in events):
        return math.inf
    composed = to_dp_event(events)
    bound = float(RdpAccountant(_RENYI_ORDERS, _RELATION).compose(composed).get_epsilon(delta))
    if bound > LARGEST_EPSILON:
        return bound
    return float(_loss_distribution().compose(composed).get_epsilon(delta))


def noise_multiplier(target_epsilon: float, delta: float, sampling_probability: float, count: int) -> float:
    """Returns the smallest noise multiplier (within 1e-4) whose epsilon does not exceed the target.

    Args:
        target_epsilon: In (0, 100].
        delta: In (0, 1).
        sampling_probability: Of each of the `count` steps, in (0, 1].
        count: Number of steps over the whole run.

    Raises:
        ConfigError: A target or parameter is out of range.
    """
    check_epsilon(target_epsilon)
    check_delta_range(delta)
    if target_epsilon > LARGEST_EPSILON:
        raise ConfigError(f"epsilon {target_epsilon:g} protects nobody: expected at most {LARGEST_EPSILON:g}")
    if not 0 < sampling_probability <= 1 or count < 1:
        raise ConfigError(
            f"expected a sampling probability in (0, 1] and at least one step, got {sampling_probability:g} and {count}"
        )

    def step(noise: float) -> GaussianEvent:
        return GaussianEvent(noise_multiplier=noise, sampling_probability=sampling_probability, count=count)

    # The asymptotic value for many steps: a starting point only, seldom more than a factor of two away.
    low = high = max(0.5, sampling_probability * math.sqrt(2 * count * math.log(1 / delta)) / target_epsilon)
    while epsilon([step(high)], delta) > target_epsilon:
        low, high = high, high * _CALIBRATION_STEP
    while epsilon([step(low)], delta) <= target_epsilon:
        low, high = low / _CALIBRATION_STEP, low
    return float(
        dp_accounting.calibrate_dp_mechanism(
            _loss_distribution,
            lambda noise: to_dp_event([step(noise)]),
            target_epsilon,
            delta,
            dp_accounting.ExplicitBracketInterval(low, high),
            tol=_CALIBRATION_TOLERANCE,
        )
    )


def claim(
    unit: PrivacyUnit, events: Sequence[GaussianEvent], delta: float, *, adversary: str, composition: str
) -> Guarantee | None:
    """Returns the claim that `events` allow, or None where they bound nothing.

    Args:
        unit: Whose taking part each event's sensitivity is about.
        events: Everything released, with noise of which nothing is known outside.
        delta: In (0, 1).
        adversary: See `Guarantee`.
        composition: See `Guarantee`.

    Raises:
        ConfigError: `delta` is out of range.
    """
    found = epsilon(events, delta)
    if math.isinf(found):
        return None
    return Guarantee(
        unit=unit,
        epsilon=max(found, _FINEST),
        delta=delta,
        neighbouring=NEIGHBOURING[unit],
        adversary=adversary,
        composition=composition,
    )


def _loss_distribution() -> PLDAccountant:
    return PLDAccountant(_RELATION)


def to_dp_event(events: Sequence[GaussianEvent]) -> dp_accounting.DpEvent:
    """Returns `events` in the accountant's own terms, with equal parameters merged.

    Merging changes no result and keeps the accountant fast: composing one step a thousand times with itself is one
    operation, a thousand steps one by one are a thousand.
    """
    counts: Counter[tuple[float, float]] = Counter()
    for event in events:
        counts[event.noise_multiplier, event.sampling_probability] += event.count
    composed = [
        dp_accounting.SelfComposedDpEvent(_one_step(noise_multiplier, probability), count)
        for (noise_multiplier, probability), count in counts.items()
    ]
    return dp_accounting.ComposedDpEvent(composed) if composed else dp_accounting.NoOpDpEvent()


def _one_step(noise_multiplier: float, sampling_probability: float) -> dp_accounting.DpEvent:
    gaussian = dp_accounting.GaussianDpEvent(noise_multiplier)
    if sampling_probability == 1:
        return gaussian
    return dp_accounting.PoissonSampledDpEvent(sampling_probability, gaussian)
