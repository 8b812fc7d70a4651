"""What a hospital tells of a finished reading: counts of cases, none of which is small or can be worked out."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from fedvoxel.evaluation.reading.finished import CaseReading, FinishedReading
from fedvoxel.federation.reader_study.answers import (
    RATINGS,
    SMALL_EDIT_DICE,
    VERDICTS,
    Agreement,
    Preferences,
    RatingBand,
    StudyAnswer,
    TooFewCases,
    Total,
    Verdicts,
)
from fedvoxel.federation.reader_study.cells import least_whole, told_cells
from fedvoxel.volumes.disclosure import merged_bands

_DIGITS = 6
_PREFERENCES = ("model", "equal", "other")


def study_answer(finished: FinishedReading, minimum: int) -> StudyAnswer | TooFewCases:
    """Returns what may be told of a reading.

    Args:
        finished: The reading.
        minimum: No number is about fewer cases, by the hospital's own policy.
    """
    cases = finished.cases
    if len(cases) < least_whole(len(VERDICTS), minimum):
        return TooFewCases(minimum_cases=minimum)
    counts = Counter(_verdict(case) for case in cases)
    verdicts = Verdicts.model_validate(told_cells({name: counts[name] for name in VERDICTS}, minimum))
    unread = finished.listed - len(cases)
    return StudyAnswer(
        minimum_cases=minimum,
        package=finished.package,
        blinded=finished.blinded,
        readers=finished.readers,
        cases=len(cases),
        listed=None if 0 < unread < minimum else finished.listed,
        verdicts=verdicts,
        ratings=_ratings(cases, minimum),
        edit_dice=_edit_dice(cases, verdicts, minimum),
        active_s=_total([fmean(one.active_s for one in case) for case in cases]),
        preferences=_preferences(cases, minimum) if finished.blinded and finished.compared else None,
        agreement=_agreement(cases, verdicts, minimum) if finished.readers > 1 else None,
    )


def _verdict(case: Sequence[CaseReading]) -> str:
    """Returns the strictest reader's verdict, the worst correction deciding whether it was a touch-up."""
    said = {one.verdict for one in case}
    if "reject" in said:
        return "rejected"
    if "correct" not in said:
        return "accepted"
    worst = min((dice for one in case if one.verdict == "correct" for dice in one.edit_dice), default=0.0)
    return "touched_up" if worst >= SMALL_EDIT_DICE else "corrected"


def _ratings(cases: Sequence[Sequence[CaseReading]], minimum: int) -> tuple[RatingBand, ...]:
    lowest = [float(min(one.rating for one in case)) for case in cases]
    worst, best = RATINGS
    bands = merged_bands(lowest, [float(edge) for edge in range(worst + 1, best + 1)], minimum)
    return tuple(
        RatingBand(low=max(worst, round(max(low, worst))), high=best if high > best else round(high) - 1, cases=count)
        for low, high, count in bands
    )


def _edit_dice(cases: Sequence[Sequence[CaseReading]], verdicts: Verdicts, minimum: int) -> Total | None:
    """Returns the sum over corrected cases, where it does not say how many a hidden count is."""
    if not isinstance(verdicts.touched_up, int) or not isinstance(verdicts.corrected, int):
        return None
    edited = [case for case in cases if _verdict(case) in ("touched_up", "corrected")]
    found = [[dice for one in case for dice in one.edit_dice] for case in edited]
    return _total([fmean(dice) if dice else 0.0 for dice in found]) if len(edited) >= minimum else None


def _preferences(cases: Sequence[Sequence[CaseReading]], minimum: int) -> Preferences:
    """Counts the cases in which more readers preferred one outline than the other."""
    counts = Counter(_better(case) for case in cases)
    return Preferences.model_validate(told_cells({name: counts[name] for name in _PREFERENCES}, minimum))


def _better(case: Sequence[CaseReading]) -> str:
    votes = sum(one.preferred is True for one in case) - sum(one.preferred is False for one in case)
    return "equal" if votes == 0 else "model" if votes > 0 else "other"


def _agreement(cases: Sequence[Sequence[CaseReading]], verdicts: Verdicts, minimum: int) -> Agreement | None:
    """Counts among the cases that not all accepted; nothing where that would say how many those are."""
    accepts = [[one.verdict == "accept" for one in case] for case in cases]
    some = sum(any(said) and not all(said) for said in accepts)
    none = sum(not any(said) for said in accepts)
    if not isinstance(verdicts.accepted, int) or any(0 < part < minimum for part in (some, none)):
        return None
    return Agreement(some_accept=some, none_accept=none)


def _total(values: Sequence[float]) -> Total:
    return Total(cases=len(values), total=float(f"{sum(values):.{_DIGITS}g}"))
