"""Says for each hospital whether it gained by taking part, case by case, in numbers and in a plain sentence.

A hospital gained, or lost, only where the 95 % interval of the paired difference leaves zero out. The intervals are
per comparison, not corrected for how many comparisons a report holds.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import NonNegativeInt

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.baseline import BaselineKind
from fedvoxel.evaluation.bootstrap import Estimate, estimate_difference
from fedvoxel.updates.scores import CaseScore

FEWEST_CASES_OF_A_SITE = 5
"""With fewer unseen cases at a site, nothing is claimed about that site."""

Verdict = Literal["gained", "lost", "ahead", "behind", "no clear difference", "too few cases to say"]
"""A hospital gained or lost over training alone; the federated model is ahead of or behind a centralised one."""

_OTHER: Mapping[BaselineKind, str] = {"local": "training alone", "pooled": "centralised training"}
_BETTER: Mapping[BaselineKind, Verdict] = {"local": "gained", "pooled": "ahead"}
_WORSE: Mapping[BaselineKind, Verdict] = {"local": "lost", "pooled": "behind"}


class Gain(FrozenModel):
    """Compares the federated model with another on one site's unseen cases.

    Attributes:
        site: The hospital.
        against: What the federated model is compared with.
        class_name: The class; None for the mean over the classes of each case.
        cases: Cases that both models scored.
        difference: Mean Dice of the federated model minus the other's; None without a case.
        low: Lower end of the difference's 95 % interval; None with fewer than two cases.
        high: Upper end of that interval.
        verdict: What may be said.
        sentence: The same for people.
    """

    site: str
    against: BaselineKind
    class_name: str | None
    cases: NonNegativeInt
    difference: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    sentence: str


def compare(
    site: str, against: BaselineKind, federated: Sequence[CaseScore], other: Sequence[CaseScore], claim: bool = True
) -> tuple[Gain, ...]:
    """Compares two models on the cases that both scored: over all classes first, then class by class.

    Args:
        site: The hospital whose cases these are.
        against: What `other` is.
        federated: Scores of the federated model.
        other: Scores of the other model; cases that only one model scored are left out.
        claim: Whether the run has enough cases in all to claim anything; if not, every verdict is "too few".
    """
    theirs = {score.case: score for score in other}
    pairs = [(score, theirs[score.case]) for score in federated if score.case in theirs]
    classes = dict.fromkeys(name for mine, _ in pairs for name in mine.dice)
    return tuple(
        _gain(site, against, name, _estimate(pairs, tuple(classes) if name is None else (name,)), claim)
        for name in (None, *classes)
    )


def _estimate(pairs: Sequence[tuple[CaseScore, CaseScore]], classes: Sequence[str]) -> Estimate:
    first: list[float] = []
    second: list[float] = []
    for mine, their in pairs:
        both = [(mine.dice.get(name), their.dice.get(name)) for name in classes]
        known = [(a, b) for a, b in both if a is not None and b is not None]
        if known:
            first.append(sum(a for a, _ in known) / len(known))
            second.append(sum(b for _, b in known) / len(known))
    return estimate_difference(first, second)


def _gain(site: str, against: BaselineKind, class_name: str | None, estimate: Estimate, claim: bool) -> Gain:
    verdict = _verdict(against, estimate, claim)
    return Gain(
        site=site,
        against=against,
        class_name=class_name,
        cases=estimate.cases,
        difference=estimate.mean,
        low=estimate.low,
        high=estimate.high,
        verdict=verdict,
        sentence=_sentence(site, against, class_name, verdict, estimate),
    )


def _verdict(against: BaselineKind, estimate: Estimate, claim: bool) -> Verdict:
    if not claim or estimate.cases < FEWEST_CASES_OF_A_SITE or estimate.low is None or estimate.high is None:
        return "too few cases to say"
    if estimate.low > 0.0:
        return _BETTER[against]
    return _WORSE[against] if estimate.high < 0.0 else "no clear difference"


def _sentence(site: str, against: BaselineKind, class_name: str | None, verdict: Verdict, estimate: Estimate) -> str:
    where = "" if class_name is None else f" in {class_name}"
    cases = "1 unseen case" if estimate.cases == 1 else f"{estimate.cases} unseen cases"
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return f"{site}: too few cases to say{where} (compared with {_OTHER[against]}: {cases})."
    measured = (
        f"Dice {signed(estimate.mean)} (95 % interval {signed(estimate.low)} to {signed(estimate.high)}) on {cases}"
    )
    return f"{_opening(site, verdict)}{where}: {measured}, compared with {_OTHER[against]}."


def _opening(site: str, verdict: Verdict) -> str:
    if verdict in ("gained", "lost"):
        return f"{site} {verdict}"
    if verdict in ("ahead", "behind"):
        return f"At {site} the federated model is {verdict}"
    return f"{site}: {verdict}"


def signed(value: float | None) -> str:
    """Returns a difference with its sign and three decimals; a dash for None."""
    if value is None:
        return "\N{EN DASH}"
    text = f"{value:+.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text.replace("-", "\N{MINUS SIGN}")
