"""A run's rounds as tables by site: what the flags and totals are computed from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median

from fedvoxel.federation.contribution_config import Resemblance, RoundContribution
from fedvoxel.federation.outcome import RoundRecord


@dataclass(frozen=True)
class LookedAt:
    """Is what a run's rounds say of its sites; only rounds that were looked at.

    Attributes:
        records: Rounds with a contribution, in order.
    """

    records: tuple[RoundRecord, ...]

    @classmethod
    def of(cls, records: Sequence[RoundRecord]) -> "LookedAt":
        """Returns those of a run's rounds that were looked at."""
        return cls(tuple(record for record in records if record.contribution))

    @property
    def found(self) -> list[RoundContribution]:
        """Are the contributions, in order."""
        return [record.contribution for record in self.records if record.contribution]

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """Are the sites that took part in any of them."""
        return tuple(sorted({site for one in self.found for site in one.values}))

    def values(self, site: str) -> list[float]:
        """Returns a site's values, of the rounds that it took part in."""
        return [one.values[site] for one in self.found if site in one.values]

    def errors(self, site: str) -> list[float]:
        """Returns the standard errors of `values`."""
        return [one.errors.get(site, 0.0) for one in self.found if site in one.values]

    def without(self, site: str) -> list[float]:
        """Returns by how much each round's model was worse without a site; older outcomes say it by one method only."""
        said = [one.values if one.method == "leave_one_out" else one.without for one in self.found]
        return [one[site] for one in said if site in one]

    def length_per_case(self, site: str) -> float | None:
        """Returns the length of a site's updates for each case, over the median of the others', as a median of rounds.

        A site with few cases moves the model little, which is no sign of anything.
        """
        ratios = []
        for record in self.records:
            norms = _seen(record).norms
            lengths = {name: norm / max(1, record.contributed.get(name, 1)) for name, norm in norms.items()}
            others = [length for name, length in lengths.items() if name != site]
            if site in lengths and others and median(others) > 0:
                ratios.append(lengths[site] / median(others))
        return median(ratios) if ratios else None

    def along_last_step(self, site: str) -> float | None:
        """Returns the median cosine of a site's updates with the step before; None in a run of one round."""
        found = [_seen(one).last_step[site] for one in self.records if site in _seen(one).last_step]
        return median(found) if found else None

    def cosine(self, one: str, other: str) -> float | None:
        """Returns the mean cosine between the updates of two sites; None where they were never compared."""
        first, second = sorted((one, other))
        found = [
            _seen(record).pairs[first][second]
            for record in self.records
            if second in _seen(record).pairs.get(first, {})
        ]
        return fmean(found) if found else None

    def path_cosine(self, one: str, other: str) -> float | None:
        """Returns the cosine between two sites' directions added up over rounds; None where nobody compared them."""
        first, second = sorted((one, other))
        found = [_seen(record).paths.get(first, {}).get(second) for record in self.records]
        known = [cosine for cosine in found if cosine is not None]
        return known[-1] if known else None

    def cosines(self, site: str, others: Sequence[str]) -> list[float]:
        """Returns the mean cosine of a site's updates with those of each other site that it was compared with."""
        found = [self.cosine(site, other) for other in others if other != site]
        return [cosine for cosine in found if cosine is not None]


_NOTHING = Resemblance(norms={})


def _seen(record: RoundRecord) -> Resemblance:
    return (record.contribution and record.contribution.resemblance) or _NOTHING
