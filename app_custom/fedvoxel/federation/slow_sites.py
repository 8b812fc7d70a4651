"""Tells which sites take several times longer than they used to, or than the others do.

Nothing is decided by it: a slow site is named in the record and to whoever watches, so that somebody looks after its
machine or its line before rounds are lost to it.
"""

from collections.abc import Mapping
from statistics import median

_TIMES = 3.0
"""So many times its own usual time, or the others', is slow."""

_LEAST_S = 10.0
"""Nothing that took less is slow, in seconds: starting up alone varies by as much."""

_OWN, _OTHERS = 2, 2
"""Past rounds of the site, and other sites, that there have to be for a comparison."""


class SlowSites:
    """Remembers how long each site's rounds took."""

    def __init__(self) -> None:
        """Knows no round yet."""
        self._past_s: dict[str, list[float]] = {}

    def note(self, seconds: Mapping[str, float]) -> None:
        """Takes how long each site that replied in a round took, in seconds."""
        for site, took_s in seconds.items():
            self._past_s.setdefault(site, []).append(took_s)

    def slow(self, seconds: Mapping[str, float], others_s: Mapping[str, float]) -> dict[str, str]:
        """Returns what is to be said of each site that is slow.

        Args:
            seconds: How long each of the sites in question has taken so far, in seconds.
            others_s: How long each site that has replied took.
        """
        said = {site: self._said(site, took_s, others_s) for site, took_s in seconds.items()}
        return {site: reason for site, reason in said.items() if reason}

    def _said(self, site: str, took_s: float, others_s: Mapping[str, float]) -> str | None:
        own = self._past_s.get(site, [])
        others = [took for other, took in others_s.items() if other != site]
        if took_s < _LEAST_S:
            return None
        if len(own) >= _OWN and took_s > _TIMES * median(own):
            return f"slow: {took_s:.0f} s, it usually takes {median(own):.0f} s"
        if len(others) >= _OTHERS and took_s > _TIMES * median(others):
            return f"slow: {took_s:.0f} s, the others took {median(others):.0f} s"
        return None
