"""Invented rounds of a run whose updates and values are known."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from fedvoxel.evaluation.credit.rounds import LookedAt
from fedvoxel.federation.contribution_config import Resemblance, RoundContribution
from fedvoxel.federation.outcome import RoundRecord, RunOutcome
from tests.sample_run import sample_outcome

SITES = ("hospital-a", "hospital-b", "hospital-c", "hospital-d", "hospital-e")


def records(
    values: Mapping[str, float] | None = None,
    cosines: Mapping[tuple[str, str], float] | None = None,
    paths: Mapping[tuple[str, str], float] | None = None,
    rounds: int = 8,
    **said: Mapping[str, float],
) -> tuple[RoundRecord, ...]:
    """Returns rounds of honest hospitals, each value about 0.01 and each cosine 0.6, but for what is given.

    `norms` and `last_step` are given by site, `cosines` and `paths` by pair.
    """
    random, found = np.random.default_rng(5), []
    for index in range(rounds):
        noise = {site: float(random.normal(0, 0.0005)) for site in SITES}
        worth = {site: (values or {}).get(site, 0.01) + noise[site] for site in SITES}
        seen = Resemblance(
            norms=dict.fromkeys(SITES, 3.0) | dict(said.get("norms", {})),
            pairs=_pairs(0.6, cosines or {}),
            last_step=dict.fromkeys(SITES, 0.6) | dict(said.get("last_step", {})) if index else {},
            paths=_pairs(0.7, paths or {}),
        )
        contribution = RoundContribution(
            method="leave_one_out",
            values=worth,
            errors=dict.fromkeys(SITES, 0.0),
            without=worth,
            resemblance=seen,
            evaluations=6,
            seconds=2.0,
            bytes_down=6_000_000,
        )
        contributed = dict.fromkeys(SITES, 10)
        found.append(RoundRecord(round=index, seconds=10.0, contributed=contributed, contribution=contribution))
    return tuple(found)


def apart(bad: str) -> dict[tuple[str, str], float]:
    """Returns cosines of a hospital that goes another way than all others."""
    return {(bad, other): 0.1 for other in SITES if other != bad}


def looked(*given: Any, **said: Any) -> LookedAt:
    """Returns the same as tables by site."""
    return LookedAt.of(records(*given, **said))


def changed(run: tuple[RoundRecord, ...], **values: Any) -> tuple[RoundRecord, ...]:
    """Returns the rounds with other values in their contributions."""
    return tuple(
        record.model_copy(update={"contribution": record.contribution.model_copy(update=values)})
        for record in run
        if record.contribution
    )


def outcome_of(run: tuple[RoundRecord, ...]) -> RunOutcome:
    """Returns the outcome of a run with these rounds."""
    changes = {"sites": SITES, "rounds": run, "rounds_committed": len(run), "best_round": None, "test": {}}
    return sample_outcome().model_copy(update=changes)


def _pairs(usual: float, given: Mapping[tuple[str, str], float]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for one, other in combinations(SITES, 2):
        found.setdefault(one, {})[other] = given.get((one, other), given.get((other, one), usual))
    return found
