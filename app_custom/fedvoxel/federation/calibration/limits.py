"""From which distance on an image is called unusual, and from which the model is not used on it."""

from dataclasses import dataclass

from fedvoxel.federation.calibration.score_counts import ScoreCounts

WARN_COVERAGE = 0.95
"""Share of images like the validation cases that are not called unusual."""

REFUSE_FACTOR = 2.0
"""How much farther than the limit of the unusual an image may be: no validation case tells, so this is declared."""


@dataclass(frozen=True)
class Limits:
    """Holds distances.

    Attributes:
        warn: Above, an image is unusual.
        refuse: Above, it is unlike anything that the model was trained on.
    """

    warn: float
    refuse: float


def limits_of(distances: ScoreCounts) -> Limits:
    """Returns the limits that follow from the validation cases' distances.

    Where there are too few patients for the share of 95 % (19 are needed), the limit is the end of the last cell that
    holds any, and the share is unknown.
    """
    last = max((place for place, count in enumerate(distances.counts) if count), default=0)
    warn = distances.bound(WARN_COVERAGE) or distances.edges[min(last, len(distances.edges) - 1)]
    return Limits(warn, REFUSE_FACTOR * warn)
