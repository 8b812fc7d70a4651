"""Sums a reading up: how often each candidate was accepted, how it was rated, what was edited, how long it took."""

from collections.abc import Sequence
from statistics import median

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.reading.agreement import Opinion


class CandidateSummary(FrozenModel):
    """Describes one candidate over all readers and cases.

    Attributes:
        candidate: Which label map.
        answers: How many.
        accepted: Of these, as it is.
        corrected: Of these, with the brush.
        rejected: Of these.
        preferred: How often it was the better one.
        median_rating: 1 to 5; None without an answer.
        median_edit_dice: Dice of before and after, over corrected structures; None without one.
        median_active_s: Time on a case; None without an answer.
    """

    candidate: str
    answers: int
    accepted: int
    corrected: int
    rejected: int
    preferred: int
    median_rating: float | None
    median_edit_dice: float | None
    median_active_s: float | None


def summaries_of(opinions: Sequence[Opinion]) -> tuple[CandidateSummary, ...]:
    """Returns a summary of each candidate, by name."""
    candidates = sorted({opinion.candidate for opinion in opinions})
    return tuple(_summary(name, [one for one in opinions if one.candidate == name]) for name in candidates)


def _summary(candidate: str, opinions: Sequence[Opinion]) -> CandidateSummary:
    verdicts = [one.verdict for one in opinions]
    return CandidateSummary(
        candidate=candidate,
        answers=len(opinions),
        accepted=verdicts.count("accept"),
        corrected=verdicts.count("correct"),
        rejected=verdicts.count("reject"),
        preferred=sum(one.preferred is True for one in opinions),
        median_rating=_middle([one.rating for one in opinions]),
        median_edit_dice=_middle([dice for one in opinions for dice in one.edit_dice]),
        median_active_s=_middle([one.active_s for one in opinions]),
    )


def _middle(values: Sequence[float]) -> float | None:
    return float(median(values)) if values else None
