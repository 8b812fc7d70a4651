"""What a hospital tells of the images that a model has met there: counts and means, none about few of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from fedvoxel.evaluation.drift.summaries import Signal, Signals
from fedvoxel.federation.calibration.limits import limits_of
from fedvoxel.federation.calibration.score_counts import ScoreCounts, add_counts, count_scores
from fedvoxel.federation.drift.answers import MeanVolume, TooFewImages, WatchAnswer, least_images
from fedvoxel.federation.drift.reference import WatchQuestion, WatchReference
from fedvoxel.federation.drift.signs import LEAST_IMAGES
from fedvoxel.federation.reader_study.cells import told_cells

_DIGITS = 6


@dataclass(frozen=True)
class Telling:
    """Is what may be told, and of which images.

    Attributes:
        answer: What leaves.
        until: When the newest image that it is about was written, seconds since the epoch; None with too few.
    """

    answer: WatchAnswer | TooFewImages
    until: float | None


def told_of_images(
    signals: Signals, since: float | None, asked: WatchQuestion, structures: Sequence[str], minimum: int
) -> Telling:
    """Returns what may be told of the newest images that nothing was told of yet.

    An image is in one answer only: of two answers with all but a few images in common, the difference would tell of
    those few.

    Args:
        signals: What predictions have left.
        since: Until when images were told of before, seconds since the epoch; None for never.
        asked: What the job asks.
        structures: The package's, in the order of their codes.
        minimum: No number is about fewer images, by the hospital's own policy.
    """
    new = [one for one in signals.found if since is None or one.at > since][-asked.last :]
    if len(new) < least_images(minimum):
        return Telling(TooFewImages(minimum_images=minimum), None)
    distances, limit = [one.distance for one in new], limits_of(asked.reference.distances).warn
    beyond = sum(distance > limit for distance in distances)
    answer = WatchAnswer(
        minimum_images=minimum,
        package=asked.package,
        images=len(new),
        distances=_counted(distances, asked.reference, limit, minimum),
        unusual=told_cells({"unusual": beyond, "alike": len(new) - beyond}, minimum)["unusual"],
        volumes={name: _volume(new, code, minimum) for code, name in enumerate(structures, start=1)},
    )
    return Telling(answer, new[-1].at)


def _counted(distances: Sequence[float], reference: WatchReference, limit: float, minimum: int) -> ScoreCounts:
    """Counts both sides of the limit apart, so that the unusual are whole cells; together where one side has few."""
    sides = [[one for one in distances if one <= limit], [one for one in distances if one > limit]]
    apart = all(not side or len(side) >= minimum for side in sides)
    edges = reference.distances.edges
    parts = [count_scores(part, edges, minimum, nearest=True) for part in (sides if apart else [distances])]
    counts = add_counts(parts)
    if counts is None:
        raise ValueError("expected at least one part")
    return counts


def _volume(images: Sequence[Signal], code: int, minimum: int) -> MeanVolume | None:
    logarithms = [math.log(one.volumes_ml[code]) for one in images if code in one.volumes_ml]
    without = len(images) - len(logarithms)
    found = len(images) - (minimum - 1 if 0 < without < minimum else without)
    if found < LEAST_IMAGES:
        return None
    return MeanVolume(images=found, mean_log=float(f"{fmean(logarithms):.{_DIGITS}g}"))
