"""Adds one site's values of single rounds up, with an interval over rounds.

What is sampled is the round: which patches, which order of cases, which permutations. Values also fall from round to
round because the model gets better, and that is no error; so the spread is taken from the differences of neighbouring
rounds. The interval covers neither the choice of validation cases nor of the training seed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

CONFIDENCE = 0.95
FEWEST_ROUNDS = 4
"""With fewer values there is no interval."""


@dataclass(frozen=True)
class Total:
    """Is the sum of a site's values.

    Attributes:
        rounds: Rounds that it is a sum over.
        value: The sum.
        error: Its standard error; None with too few rounds.
    """

    rounds: int
    value: float
    error: float | None

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
        """Returns both ends of the interval; None with too few rounds."""
        if self.error is None:
            return None
        reach = student_quantile(0.5 + confidence / 2, degrees_of_freedom(self.rounds)) * self.error
        return self.value - reach, self.value + reach


def total_of(values: Sequence[float], errors: Sequence[float]) -> Total:
    """Returns the sum of a site's values.

    Args:
        values: Of the rounds that the site took part in, in order.
        errors: Standard error of each over what was drawn in its round.

    Source: the variance from successive differences, von Neumann et al., "The Mean Square Successive Difference",
    Annals of Mathematical Statistics 12, 1941; the errors of the drawn permutations add to it.
    """
    count = len(values)
    if count < FEWEST_ROUNDS:
        return Total(count, math.fsum(values), None)
    steps = [after - before for before, after in pairwise(values)]
    variance = sum(step**2 for step in steps) / (2 * (count - 1))
    return Total(count, math.fsum(values), math.sqrt(count * variance + sum(error**2 for error in errors)))


def degrees_of_freedom(count: int) -> float:
    """Returns how many independent values as good a variance would take as `count` successive ones give."""
    return 2 * (count - 1) ** 2 / (3 * count - 4)


def student_quantile(probability: float, degrees: float) -> float:
    """Returns a quantile of Student's t, within 0.02 for three degrees of freedom and 0.5 < probability < 0.995.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees**power for power, term in enumerate(terms, start=1))
