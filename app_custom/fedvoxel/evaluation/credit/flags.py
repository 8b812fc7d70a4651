"""Says which hospitals' part in a run looks wrong, and why: harmful data, free riders, copied cases, refusals.

A flag is a reason to ask, never a verdict: two hospitals with the same scanner are alike, and a hospital with rare
patients may lower a score on common ones.
"""

from collections.abc import Sequence
from itertools import combinations
from statistics import fmean, median
from typing import Literal

from fedvoxel.config import FrozenModel
from fedvoxel.evaluation.credit.rounds import LookedAt
from fedvoxel.evaluation.credit.total import CONFIDENCE, total_of
from fedvoxel.federation.outcome import RoundRecord

FlagKind = Literal["harmful", "free rider", "alike", "refused"]

SHORT = 0.01
"""An update is next to nothing at so small a share of the others' length for each case."""
SAME = 0.95
"""An update repeats a step at so large a cosine, if the others' are not near it too."""
NOTHING_SHARED, SHARED = 0.03, 0.15
"""Noise has a mean cosine with others of at most the first, where the others have at least the second."""
ALIKE = 0.87
"""Two sites are alike if they are apart (1 minus their paths' cosine) by at most this share of the nearest third."""
COPIED = 0.001
"""Updates so little apart are one and the same, wherever the others are."""
MOSTLY = 0.75
"""A harmful site makes the model worse in at least so many of its rounds."""
LEAST_HARM = 0.01
"""Less Dice than this, over all rounds, is no harm worth a question."""
MUCH_HARM = 0.05
"""So much is, whichever way the updates go: two bad sites among four go each other's."""
OTHER_WAY = 1.25
"""A site goes another way if it is so many times as far from the others as they are from one another."""


class Flag(FrozenModel):
    """Says what looks wrong about a site.

    Attributes:
        sites: The site; of "alike" both, since nobody can say who copied.
        reason: Why, in words and figures.
    """

    kind: FlagKind
    sites: tuple[str, ...]
    reason: str


def flags_of(run: LookedAt) -> tuple[Flag, ...]:
    """Returns what looks wrong in a run."""
    riders = [flag for site in run.sites if (flag := _free_rider(run, site))]
    working = _without(run.sites, riders)
    harmful = [flag for site in working if (flag := _harmful(run, site))]
    # Beside sites that go another way, all that do not would be alike.
    good = _without(working, harmful)
    pairs = [flag for one, other in combinations(good, 2) if (flag := _pair(run, one, other, good))]
    return (*harmful, *riders, *pairs)


def refusals_of(rounds: Sequence[RoundRecord]) -> tuple[Flag, ...]:
    """Returns a flag for each site of which updates were refused: no value says anything of those."""
    reasons: dict[str, list[str]] = {}
    for record in rounds:
        for site, reason in record.refused.items():
            reasons.setdefault(site, []).append(reason)
    return tuple(
        Flag(
            kind="refused",
            sites=(site,),
            reason=f"in {len(said)} of {len(rounds)} rounds what it sent was refused, at last as {said[-1]}",
        )
        for site, said in sorted(reasons.items())
    )


def _without(sites: Sequence[str], flags: Sequence[Flag]) -> list[str]:
    flagged = {site for flag in flags for site in flag.sites}
    return [site for site in sites if site not in flagged]


def _harmful(run: LookedAt, site: str) -> Flag | None:
    """Flags a site without which the models were better: much better, or its updates go another way than the others'.

    The validation cases are the same in every round, and by their luck an honest site can look a little harmful in all;
    a site that only goes another way may have rare patients. Where it does not, or nobody knows, the interval is
    widened for the number of sites.
    """
    values, away = run.without(site), _away(run, site)
    total, strays = total_of(values, [0.0] * len(values)), away is not None and away >= OTHER_WAY
    interval = total.interval(CONFIDENCE if strays else 1 - (1 - CONFIDENCE) / len(run.sites))
    worse = sum(value < 0 for value in values)
    certain = interval is not None and interval[1] < 0 and worse >= MOSTLY * len(values)
    if not certain or total.value > -(LEAST_HARM if strays else MUCH_HARM):
        return None
    way = f", and they go another way: {away:.1f} times as far from the others' as those are apart" if strays else ""
    return Flag(
        kind="harmful",
        sites=(site,),
        reason=f"without its updates the models were better, by {-total.value:.3f} Dice in all and in {worse} of "
        f"{len(values)} rounds{way}; look at its labels, and at how its images lie",
    )


def _away(run: LookedAt, site: str) -> float | None:
    """Returns how far a site's updates are from the others', over how far those are from one another."""
    own, among = _own_and_others(run, site)
    return (1 - fmean(own)) / (1 - median(among)) if own and among and median(among) < 1 else None


def _own_and_others(run: LookedAt, site: str) -> tuple[list[float], list[float]]:
    """Returns the mean cosines of a site with each other one, and those of the others among themselves."""
    others = [other for other in run.sites if other != site]
    among = [found for one, other in combinations(others, 2) if (found := run.cosine(one, other)) is not None]
    return run.cosines(site, others), among


def _free_rider(run: LookedAt, site: str) -> Flag | None:
    reason = _does_nothing(run, site) or _repeats(run, site) or _shares_nothing(run, site)
    return Flag(kind="free rider", sites=(site,), reason=reason) if reason else None


def _does_nothing(run: LookedAt, site: str) -> str | None:
    length = run.length_per_case(site)
    if length is None or length > SHORT:
        return None
    return f"its updates are next to nothing: {length:.2g} times as long, for each case, as the others'"


def _repeats(run: LookedAt, site: str) -> str | None:
    along = run.along_last_step(site)
    usual = [abs(found) for other in run.sites if other != site and (found := run.along_last_step(other)) is not None]
    if along is None or abs(along) < SAME or not usual or 1 - abs(along) > (1 - median(usual)) / 4:
        return None
    what = "repeat the step that everybody had just got" if along > 0 else "lead back to the model before"
    return f"its updates {what}: cosine {along:.3f}, the others' {median(usual):.2f}"


def _shares_nothing(run: LookedAt, site: str) -> str | None:
    own, among = _own_and_others(run, site)
    if not own or not among or abs(fmean(own)) > NOTHING_SHARED or median(among) < SHARED:
        return None
    return (
        f"its updates have nothing in common with anybody's (mean cosine {fmean(own):.3f}, the others' among "
        f"themselves {median(among):.2f}): noise, or labels that have nothing to do with the images"
    )


def _pair(run: LookedAt, one: str, other: str, sites: Sequence[str]) -> Flag | None:
    ratio, cosine = apartness(run, one, other, sites), run.path_cosine(one, other)
    if cosine is None or (1 - cosine > COPIED and (ratio is None or ratio > ALIKE)):
        return None
    beside = "" if ratio is None else f", {ratio:.0%} as far apart as the nearest other"
    return Flag(
        kind="alike",
        sites=(one, other),
        reason=f"their updates go nearer to each other than to anybody else's (cosine {cosine:.3f}{beside}): the same "
        "patients twice, or just the same scanner and kind of patient; compare your lists",
    )


def apartness(run: LookedAt, one: str, other: str, sites: Sequence[str]) -> float | None:
    """Returns how far two sites' updates are apart, over how far the nearest third site is; None without a third."""
    third = [site for site in sites if site not in (one, other)]
    found = [run.path_cosine(site, far) for site in (one, other) for far in third]
    cosine, near = run.path_cosine(one, other), [known for known in found if known is not None]
    if cosine is None or not near or max(near) >= 1:
        return None
    return (1 - cosine) / (1 - max(near))
