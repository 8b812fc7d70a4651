"""Who sees what: one pure function from all facts to what one viewer may see. What it leaves out is not sent.

The consortium's operator (project_admin) sees everything. Everybody else sees their own hospital's sites in full, and
those of the others as the agreement says. Words that people or programs wrote freely (reasons, what was said of an
incident) may name any hospital, and go with "everything" only. So does a mean over sites of which fewer than two are
others': the viewer's own share could be taken out of it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fedvoxel.export.trust import Signer
from fedvoxel.governance.incidents.incident import Incident
from fedvoxel.ops.status.agreement import Agreement
from fedvoxel.ops.status.facts import Facts, RunFacts
from fedvoxel.ops.status.run_sight import dice_of, privacy_of, run_figures, site_figures, state_of

Pseudonym = Callable[[str], str]
"""Returns the word for a site that this viewer may not know by name."""

ONLINE = timedelta(seconds=30)
"""A site that was heard of within this time is online: it sends a heartbeat every 3 s, noted every 5 s."""

REMEMBERED = timedelta(days=30)
"""A site in no run is shown as long as it was heard of within this time."""

FEWEST_OTHERS = 2
"""A mean over sites is shown that so many sites of others are in."""


@dataclass(frozen=True)
class Sight:
    """Is what one viewer may see of the sites.

    Attributes:
        viewer: Who looks.
        everything: Whether all is shown, of every site.
        others: Whether sites of others are shown at all.
        organisations: Of each known site, whose it is.
        pseudonym: For sites that are shown without their name.
    """

    viewer: Signer
    everything: bool
    others: bool
    organisations: Mapping[str, str]
    pseudonym: Pseudonym

    def owns(self, site: str) -> bool:
        """Says whether a site is of the viewer's hospital, or is the viewer."""
        organisation = self.organisations.get(site)
        by_name = self.viewer.role is None and site == self.viewer.name
        return by_name or (bool(organisation) and organisation == self.viewer.organisation)

    def in_full(self, site: str) -> bool:
        """Says whether all of a site may be shown."""
        return self.everything or self.owns(site)

    def sites(self, names: tuple[str, ...], line: Callable[[str, bool], dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the lines of those sites that may be shown, the viewer's own first.

        Args:
            names: All of them.
            line: Returns a site's line: in full, or only what may be said under a pseudonym.
        """
        full = [{"site": name, "own": self.owns(name), **line(name, True)} for name in names if self.in_full(name)]
        hidden = [name for name in names if self.others and not self.in_full(name)]
        veiled = [{"site": self.pseudonym(name), "own": False, **line(name, False)} for name in hidden]
        # In the order of names the pseudonyms would tell them.
        return sorted(full, key=lambda one: (not one["own"], one["site"])) + sorted(veiled, key=lambda one: one["site"])

    def mean(self, sites: Iterable[str], value: float | None) -> float | None:
        """Returns a mean over some sites, if the viewer may know it."""
        others = sum(not self.in_full(site) for site in sites)
        return value if others == 0 or others >= FEWEST_OTHERS else None


def seen_by(viewer: Signer, facts: Facts, agreement: Agreement, pseudonym: Pseudonym) -> dict[str, Any]:
    """Returns all that a viewer may see, as JSON values.

    Args:
        viewer: Who looks: a person with a role, or a site.
        facts: What the server's files say.
        agreement: What hospitals see of one another.
        pseudonym: Is told a site, and returns the viewer's word for it.
    """
    everything = viewer.role == "project_admin" or agreement.others == "everything"
    organisations = {name: heard.organisation for name, heard in facts.heard.items()}
    sight = Sight(viewer, everything, agreement.others != "nothing", organisations, pseudonym)
    current = [run for run in facts.runs if not run.is_over]
    return {
        "schema_version": 1,
        "consortium": facts.consortium,
        "at": _said(facts.at),
        "viewer": {"name": viewer.name, "organisation": viewer.organisation, "role": viewer.role or "site"},
        "others": "everything" if everything else agreement.others,
        "halted": facts.halted,
        "not_shown": list(facts.problems),
        "sites": sight.sites(_known(facts), lambda name, full: _site(facts, name, full)),
        "runs": [_run(sight, run, facts.at) for run in current],
        "past_runs": [_run(sight, run, facts.at) for run in facts.runs if run.is_over],
        "incidents": [_incident(sight, one) for one in reversed(facts.incidents)],
    }


def _known(facts: Facts) -> tuple[str, ...]:
    in_runs = {site for run in facts.runs if not run.is_over for site in run.sites}
    heard = {name for name, one in facts.heard.items() if facts.at - one.at <= REMEMBERED}
    return tuple(sorted(in_runs | heard | facts.kept_out.keys()))


def _site(facts: Facts, name: str, full: bool) -> dict[str, Any]:
    heard = facts.heard.get(name)
    online = None if heard is None else facts.at - heard.at <= ONLINE
    if not full:
        return {"online": online}
    organisation, at = (heard.organisation or None, _said(heard.at)) if heard else (None, None)
    return {"online": online, "organisation": organisation, "heard": at, "kept_out": facts.kept_out.get(name)}


def _run(sight: Sight, run: RunFacts, now: datetime) -> dict[str, Any]:
    outcome = run.outcome
    return {
        **run_figures(run, now),
        "privacy": privacy_of(run, sight.everything) if outcome else None,
        "reason": outcome.reason if outcome and sight.everything else None,
        "dice": list(_means(sight, run)),
        "sites": sight.sites(run.sites, lambda name, full: _site_in_run(run, name, full)),
    }


def _means(sight: Sight, run: RunFacts) -> Iterator[dict[str, Any]]:
    """Yields the mean validation Dice of each validated round, of which this viewer may know it."""
    for point in dice_of(run):
        mean = sight.mean(point.sites, point.mean_dice)
        if mean is not None:
            yield {"round": point.round, "mean_dice": mean}


def _site_in_run(run: RunFacts, name: str, full: bool) -> dict[str, Any]:
    state, reason = state_of(run, name)
    return {"state": state, "reason": reason, **site_figures(run, name)} if full else {"state": state}


def _incident(sight: Sight, incident: Incident) -> dict[str, Any]:
    first = incident.said[0]
    known = {
        "incident": incident.name,
        "kind": first.statement.kind,
        "severity": incident.severity,
        "open": incident.is_open,
        "declared": first.at,
        "stops_all_jobs": incident.halts,
        "keeps_out": sorted(site for site in incident.keeps_out if sight.in_full(site)),
    }
    if not sight.everything:
        return known
    words = [
        {"word": one.statement.word, "by": one.by, "at": one.at, "text": one.statement.text} for one in incident.said
    ]
    return known | {"said": words}


def _said(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
