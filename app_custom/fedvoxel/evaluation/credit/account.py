"""The account of a run: what each hospital contributed, its share of the credit, what that cost, what looks wrong.

Shares follow the values alone. A flag changes no share: whether somebody is paid less is for people to decide.
"""

from collections.abc import Mapping, Sequence

from pydantic import Field, NonNegativeFloat, NonNegativeInt

from fedvoxel.config import FrozenModel
from fedvoxel.errors import JobError
from fedvoxel.evaluation.credit.flags import Flag, flags_of, refusals_of
from fedvoxel.evaluation.credit.rounds import LookedAt
from fedvoxel.evaluation.credit.total import FEWEST_ROUNDS, Total, total_of
from fedvoxel.federation.outcome import RunOutcome

METHOD_NAMES: Mapping[str, str] = {
    "leave_one_out": "leaving each hospital out",
    "shapley": "Shapley values",
    "gtg_shapley": "estimated Shapley values (GTG)",
    "agreement": "agreement with the mean update (CGSV)",
}


class SiteCredit(FrozenModel):
    """Says what one hospital contributed.

    Attributes:
        rounds: Rounds that were looked at and that it took part in.
        value: Sum over them, a change of Dice; with agreement, the mean cosine.
        low: Lower end of the 95 % interval over rounds; None with too few.
        high: Upper end of the interval.
        by_round: Value of each of those rounds.
        share: Its part of all positive values; None where there are none.
    """

    site: str
    rounds: NonNegativeInt
    value: float
    low: float | None
    high: float | None
    by_round: tuple[float, ...]
    share: float | None = Field(default=None, ge=0, le=1)


class Cost(FrozenModel):
    """Says what it took to find out.

    Attributes:
        models: Models that were scored beside those of the run itself.
        seconds: Time that the rounds waited for it.
        round_seconds: Time of the same rounds without it.
        bytes_down: Bytes of models sent to those who scored them.
    """

    models: NonNegativeInt
    seconds: NonNegativeFloat
    round_seconds: NonNegativeFloat
    bytes_down: NonNegativeInt


class Account(FrozenModel):
    """Is what `fedvoxel contribution` says of a run."""

    schema_version: int = 1
    run_key: str
    job_id: str
    job_name: str
    method: str
    rounds_looked_at: NonNegativeInt
    rounds: NonNegativeInt
    sites: tuple[SiteCredit, ...]
    flags: tuple[Flag, ...]
    cost: Cost
    caveats: tuple[str, ...]


def account_of(outcome: RunOutcome) -> Account:
    """Returns the account of a run.

    Raises:
        JobError: The run did not find out what anybody contributed.
    """
    committed = outcome.rounds[: outcome.rounds_committed]
    run = LookedAt.of(committed)
    if not run.records:
        raise JobError(
            f"{outcome.job_name}: no round of this run says what each site contributed; expected a job with "
            "rounds.contribution, such as jobs/hippocampus_contribution, and one committed round at least"
        )
    method = run.found[0].method
    totals = {site: total_of(run.values(site), run.errors(site)) for site in run.sites}
    return Account(
        run_key=outcome.run_key,
        job_id=outcome.job_id,
        job_name=outcome.job_name,
        method=method,
        rounds_looked_at=len(run.records),
        rounds=outcome.rounds_committed,
        sites=_credits(run, totals, method),
        flags=(*flags_of(run), *refusals_of(committed)),
        cost=_cost(run),
        caveats=_caveats(run, method),
    )


def shares_of(values: Mapping[str, float]) -> dict[str, float | None]:
    """Returns each site's part of all positive values; None for all where there are none."""
    whole = sum(max(value, 0.0) for value in values.values())
    return {site: max(value, 0.0) / whole if whole > 0 else None for site, value in values.items()}


def _credits(run: LookedAt, totals: Mapping[str, Total], method: str) -> tuple[SiteCredit, ...]:
    """Returns the hospitals, the one that contributed most first."""
    parts = {site: 1 / total.rounds if method == "agreement" else 1.0 for site, total in totals.items()}
    values = {site: parts[site] * total.value for site, total in totals.items()}
    shares = shares_of(values)
    found = []
    for site in sorted(values, key=lambda name: -values[name]):
        low, high = totals[site].interval() or (None, None)
        found.append(
            SiteCredit(
                site=site,
                rounds=totals[site].rounds,
                value=values[site],
                low=None if low is None else parts[site] * low,
                high=None if high is None else parts[site] * high,
                by_round=tuple(run.values(site)),
                share=shares[site],
            )
        )
    return tuple(found)


def _cost(run: LookedAt) -> Cost:
    return Cost(
        models=sum(one.evaluations for one in run.found),
        seconds=sum(one.seconds for one in run.found),
        round_seconds=sum(record.seconds for record in run.records),
        bytes_down=sum(one.bytes_down for one in run.found),
    )


def _caveats(run: LookedAt, method: str) -> tuple[str, ...]:
    """Returns what a reader must know of this run before believing the figures."""
    lines: list[str] = []
    if len(run.records) < FEWEST_ROUNDS:
        lines.append(f"Fewer than {FEWEST_ROUNDS} rounds were looked at: no interval, and no site is called harmful.")
    if method == "agreement":
        lines.append("Agreement is no score: a site that goes its own way may be wrong, or have what nobody else has.")
    elif not any(one.without for one in run.found) and method != "leave_one_out":
        lines.append("This outcome does not say what each round was without each site: no site is called harmful.")
    if not _compared(run, "norms"):
        lines.append("This outcome does not say how the updates resemble each other: no free rider or copy is found.")
    elif not _compared(run, "paths"):
        lines.append("There were too few or too many sites to compare pair by pair: no copy is found.")
    return tuple(lines)


def _compared(run: LookedAt, what: str) -> bool:
    return any(one.resemblance and getattr(one.resemblance, what) for one in run.found)


def flagged(account: Account, site: str) -> Sequence[Flag]:
    """Returns the flags about a site."""
    return [flag for flag in account.flags if site in flag.sites]
