"""Chooses which sites are asked in a round, fairly and reproducibly, and says why.

Draws depend on the rule's seed and the round alone, so that a run that is resumed draws the same. Whatever the rule, a
site that was left out too long comes first. What a site says of itself buys it little: a loss counts at most as the
95th percentile of all, one that is kept back as none, and a site is drawn once in a round. A site that was asked and
brought nothing is no longer unknown: it counts as late, and as one without a loss.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from fedvoxel.federation.selection_config import (
    AllSites,
    Oort,
    PowerOfChoice,
    RandomSites,
    Selective,
    SitesByCases,
    WithinDeadline,
)
from fedvoxel.federation.snapshot import Snapshot

NOT_CONNECTED = "is not connected"
"""Why a site is not even drawn from."""


@dataclass
class _Seen:
    """Is what is known of a site."""

    last: int = 0
    left_out: int = 0
    cases: int | None = None
    loss: float | None = None
    seconds: float | None = None
    missed: bool = False

    @property
    def is_new(self) -> bool:
        """Is whether the site was never asked."""
        return self.cases is None and not self.missed


@dataclass(frozen=True)
class Choice:
    """Says who is asked in a round, and of each other site why it is not.

    Attributes:
        asked: Sites that are asked, in order of their names.
        left_out: The reason by site.
    """

    asked: tuple[str, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)


class Selector:
    """Chooses sites round by round and remembers what they reported."""

    def __init__(self, rule: AllSites | Selective, sites: Iterable[str], needed: int) -> None:
        """Takes the rule, all sites, and how many updates a round needs."""
        self._rule, self._needed = rule, needed
        self._seen = {site: _Seen() for site in sorted(sites)}
        self._spare: list[str] = []

    def choose(self, round_index: int, away: Callable[[str], bool] | None = None) -> Choice:
        """Returns who is asked in a round, and counts who is left out.

        Args:
            round_index: 0-based round.
            away: Says whether a site is not connected; a rule that draws does not draw it then.
        """
        if isinstance(self._rule, AllSites):
            return Choice(tuple(self._seen))
        sites = [site for site in self._seen if not (away and away(site))]
        wanted = self._rule.wanted(len(sites), self._needed)
        overdue = [site for site in sites if self._seen[site].left_out >= self._rule.most_rounds_left_out]
        first = sorted(overdue, key=lambda site: (-self._seen[site].left_out, site))
        rest = [site for site in sites if site not in first]
        # The overdue come first even where they are more than are wanted.
        asked = {*first, *self._by_rule(round_index, rest, max(0, wanted - len(first)))}
        for site, seen in self._seen.items():
            seen.left_out = 0 if site in asked else seen.left_out + 1
        reasons = {site: f"not chosen by {self._rule.name}{self._why(site)}" for site in sites if site not in asked}
        self._spare = sorted(reasons, key=lambda site: (-self._seen[site].left_out, site))
        return Choice(tuple(sorted(asked)), reasons | dict.fromkeys(set(self._seen) - set(sites), NOT_CONNECTED))

    def instead(self, count: int) -> tuple[str, ...]:
        """Returns at most `count` more sites for the round that is open: for those that were asked and brought nothing.

        Those left out longest come first; there are none once every connected site was asked.
        """
        found, self._spare = self._spare[:count], self._spare[count:]
        for site in found:
            self._seen[site].left_out = 0
        return tuple(found)

    def note(self, site: str, round_index: int, cases: int, loss: float | None, seconds: float) -> None:
        """Takes what a site reported with an accepted update, and how long it took."""
        seen = self._seen[site]
        seen.last, seen.cases, seen.seconds, seen.missed = round_index + 1, cases, seconds, False
        seen.loss = loss if loss is None else max(0.0, loss)

    def note_missed(self, site: str) -> None:
        """Takes that a site was asked and brought no update that could be accepted; others cannot be asked at all."""
        if site in self._seen:
            self._seen[site].missed = True

    def snapshot(self) -> Snapshot:
        """Returns what is known of each site."""
        return Snapshot({site: asdict(seen) for site, seen in self._seen.items()})

    def restore(self, kept: Snapshot) -> None:
        """Takes back what was known; a site that was not in the run then is new."""
        self._seen |= {site: _Seen(**seen) for site, seen in kept.values.items() if site in self._seen}

    def _by_rule(self, round_index: int, sites: Sequence[str], count: int) -> list[str]:
        rule = self._rule
        if isinstance(rule, AllSites) or not count:
            return []
        random = np.random.default_rng((rule.seed, round_index))
        if isinstance(rule, RandomSites):
            return _drawn(random, sites, [1.0] * len(sites), count)
        if isinstance(rule, SitesByCases):
            return _drawn(random, sites, self._cases(sites), count)
        if isinstance(rule, PowerOfChoice):
            size = max(count, math.ceil(rule.candidates * len(sites)))
            drawn = _drawn(random, sites, self._cases(sites), size)
            losses = self._losses(drawn)
            # In the order of the draw where losses are the same: a name buys nothing.
            return sorted(drawn, key=lambda site: -losses[site])[:count]
        if isinstance(rule, WithinDeadline):
            in_time = [site for site in sites if self._seconds(site) <= rule.deadline_s]
            chosen = _drawn(random, in_time, [1.0] * len(in_time), count)
            # A round that could not have its quorum otherwise takes the fastest of the late ones.
            late = sorted(set(sites) - set(in_time), key=lambda site: (self._seconds(site), site))
            return chosen + late[: max(0, min(self._needed, count) - len(chosen))]
        return self._by_utility(rule, random, round_index, sites, count)

    def _by_utility(
        self, rule: Oort, random: np.random.Generator, round_index: int, sites: Sequence[str], count: int
    ) -> list[str]:
        new = [site for site in sites if self._seen[site].is_new]
        tried = [site for site in sites if site not in new]
        explored = max(round(rule.exploration * 0.98**round_index * count), count - len(tried))
        chosen = _drawn(random, new, [1.0] * len(new), explored)
        return chosen + _drawn(random, tried, self._utilities(rule, round_index, tried), count - len(chosen))

    def _utilities(self, rule: Oort, round_index: int, sites: Sequence[str]) -> list[float]:
        if not sites:
            return []
        seen = [self._seen[site] for site in sites]
        statistical = np.array([(site.cases or 0) * (site.loss or 0.0) for site in seen])
        # Clipped, and with a bonus for a site that was not tried for long (Oort, section 4.4 and equation 1).
        statistical = np.minimum(statistical, np.quantile(statistical, 0.95, method="lower"))
        utilities = statistical + np.sqrt([0.1 * math.log(max(2, round_index)) / max(1, site.last) for site in seen])
        if rule.preferred_s is not None:
            slow = [max(1.0, self._seconds(site) / rule.preferred_s) for site in sites]
            utilities = utilities / np.power(slow, rule.alpha)
        return [float(utility) for utility in utilities]

    def _cases(self, sites: Sequence[str]) -> list[float]:
        """Returns the sites' case counts; a site that has told none yet counts as the mean of the others."""
        known = [cases for site in sites if (cases := self._seen[site].cases) is not None]
        mean = sum(known) / len(known) if known else 1.0
        return [float(mean if (cases := self._seen[site].cases) is None else cases) for site in sites]

    def _losses(self, sites: Sequence[str]) -> dict[str, float]:
        """Returns the sites' last losses, clipped; those never asked come first, so that they are tried."""
        known = [self._seen[site].loss or 0.0 for site in sites if not self._seen[site].is_new]
        most = float(np.quantile(known, 0.95, method="lower")) if known else 0.0
        return {site: math.inf if (seen := self._seen[site]).is_new else min(seen.loss or 0.0, most) for site in sites}

    def _seconds(self, site: str) -> float:
        """Returns how long a site's last round took; it has no end where the site brought nothing."""
        seen = self._seen[site]
        return math.inf if seen.missed else seen.seconds or 0.0

    def _why(self, site: str) -> str:
        seen = self._seen[site]
        if seen.missed:
            return ": it brought nothing when it was last asked"
        if isinstance(self._rule, WithinDeadline) and seen.seconds is not None:
            return f": its last round took {seen.seconds:.0f} s"
        if isinstance(self._rule, PowerOfChoice | Oort) and seen.loss is not None:
            return f": its last loss was {seen.loss:.3g}"
        return ""


def _drawn(random: np.random.Generator, sites: Sequence[str], weights: Sequence[float], count: int) -> list[str]:
    """Draws at most `count` different sites with chances in proportion to their weights."""
    if not sites or count <= 0:
        return []
    chances = np.maximum(np.asarray(weights, float), 1e-9)
    drawn = random.choice(len(sites), min(count, len(sites)), replace=False, p=chances / chances.sum())
    return [sites[index] for index in drawn]
