"""The mean Dice of a model over sites and classes, which decides which model is best."""

from collections.abc import Mapping

from fedvoxel.federation.outcome import ValidationScore


def mean_dice(scores: Mapping[str, ValidationScore]) -> float | None:
    """Returns the case-weighted mean over sites of the mean Dice over classes, or None without a score."""
    weighted = [(score.cases, _class_mean(score)) for score in scores.values() if score.cases]
    known = [(cases, mean) for cases, mean in weighted if mean is not None]
    if not known:
        return None
    return sum(cases * mean for cases, mean in known) / sum(cases for cases, _ in known)


def _class_mean(score: ValidationScore) -> float | None:
    known = [dice for dice in score.dice.values() if dice is not None]
    return sum(known) / len(known) if known else None
