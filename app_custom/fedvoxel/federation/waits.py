"""How long a question to the sites waits, for whom, and why: a pure account of it, which the controller goes by.

Nothing waits longer than the job says: a question ends at its deadline, or when the grace after enough good replies is
over, or when nobody is left who may still answer. A site is not waited for once it has lost its connection, or has
taken longer than a single site may. Whoever watches the run is told the same account.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

LOST = "lost its connection"
"""Why a site is not waited for that is gone, or whose job process is."""


@dataclass(frozen=True)
class Wait:
    """Says how long to wait for replies.

    Attributes:
        timeout_s: Longest wait in seconds.
        enough: Good replies after which `grace_s` begins.
        grace_s: Further seconds for the others; None waits for every connected site.
        site_timeout_s: Longest wait for a single site, from when it came for the question; None for no other than
            `timeout_s`.
    """

    timeout_s: float
    enough: int = 1
    grace_s: float | None = None
    site_timeout_s: float | None = None

    def ends_s(self, enough_s: float | None) -> float:
        """Returns when nobody is waited for any more.

        Args:
            enough_s: Seconds after which `enough` had replied; None if they have not.
        """
        if enough_s is None or self.grace_s is None:
            return self.timeout_s
        return min(self.timeout_s, enough_s + self.grace_s)


@dataclass(frozen=True)
class SiteWait:
    """Says that a site is waited for.

    Attributes:
        site: Whom for.
        since_s: When it was asked or, where it has come for the question, when it did; seconds since the question.
        until_s: When it is not waited for any more, whatever happens; seconds since the question.
        reason: What it is at, and what ends the wait.
    """

    site: str
    since_s: float
    until_s: float
    reason: str


class OpenQuestion:
    """Follows one question to the sites while it is open."""

    def __init__(self, sites: Collection[str], wait: Wait) -> None:
        """Takes who was asked, and how long to wait."""
        self.sites, self._wait = frozenset(sites), wait
        self._came_s: dict[str, float] = {}
        self._enough_s: float | None = None
        self._left: frozenset[str] = self.sites
        self._lost: frozenset[str] = frozenset()
        self._late: frozenset[str] = frozenset()
        self.elapsed_s = 0.0
        """Seconds from the question to the last look."""

    def came(self, sites: Collection[str]) -> None:
        """Notes who has come for the question since the last look; one that comes again begins anew."""
        self._came_s |= dict.fromkeys(sites, self.elapsed_s)

    def look(self, elapsed_s: float, good: Collection[str], bad: Collection[str], lost: Collection[str]) -> None:
        """Notes how it stands.

        Args:
            elapsed_s: Seconds since the question.
            good: Who has given a good reply.
            bad: Who has given a bad one, or has failed.
            lost: Who has lost the connection.
        """
        self.elapsed_s = elapsed_s
        if self._enough_s is None and len(good) >= self._wait.enough:
            self._enough_s = elapsed_s
        self._left = self.sites - set(good) - set(bad)
        self._lost = self._left & set(lost)
        self._late = frozenset(site for site in self._left - self._lost if elapsed_s > self._site_ends_s(site))

    @property
    def working(self) -> frozenset[str]:
        """Are the sites that are waited for."""
        return self._left - self._lost - self._late

    @property
    def ends_s(self) -> float:
        """Is when nobody is waited for any more, in seconds since the question."""
        return self._wait.ends_s(self._enough_s)

    @property
    def over(self) -> bool:
        """Says whether the wait is over."""
        return not self.working or self.elapsed_s > self.ends_s

    @property
    def given_up(self) -> dict[str, str]:
        """Are the sites that have not replied and are not waited for, each with the reason."""
        return {site: self.why(site) for site in sorted(self._lost | self._late)}

    def why(self, site: str) -> str:
        """Returns why a site that has not replied is not waited for any more."""
        if site in self._lost:
            return LOST
        if site in self._late:
            return f"took longer than the {self._wait.site_timeout_s:.0f} s that a site may"
        return f"no reply within {self.elapsed_s:.0f} s"

    def waits(self, slow: Mapping[str, str], fetching: Collection[str] = ()) -> tuple[SiteWait, ...]:
        """Returns who is waited for, in order of their names.

        Args:
            slow: What is to be said of sites that take unusually long.
            fetching: Whose reply has come, and is being fetched.
        """
        return tuple(self._wait_of(site, slow.get(site), site in fetching) for site in sorted(self.working))

    def _wait_of(self, site: str, slow: str | None, fetching: bool) -> SiteWait:
        doing = "works on it" if site in self._came_s else "has not come for its task yet"
        until_s, what = min(
            (self._wait.timeout_s, "the deadline"),
            (self.ends_s, "the grace for the others"),
            (self._site_ends_s(site), "what a single site may take"),
            key=lambda end: end[0],
        )
        parts = ["its reply is being fetched" if fetching else doing, *([slow] if slow else []), f"until {what}"]
        return SiteWait(site, self._came_s.get(site, 0.0), until_s, "; ".join(parts))

    def _site_ends_s(self, site: str) -> float:
        if self._wait.site_timeout_s is None:
            return math.inf
        return self._came_s.get(site, 0.0) + self._wait.site_timeout_s
