"""What can be said of one run, and of one site in it; who may see it, `sight` decides."""

from datetime import datetime
from typing import Any

from fedvoxel.federation.mean_dice import mean_dice
from fedvoxel.federation.outcome import RoundRecord
from fedvoxel.federation.sent_bytes import all_bytes_down, all_bytes_up
from fedvoxel.ops.progress import Progress, ValidationPoint
from fedvoxel.ops.status.facts import RunFacts
from fedvoxel.ops.status.received import spent
from fedvoxel.privacy.guarantee import NO_GUARANTEE, PUBLIC_DATA, Guarantee


def run_figures(run: RunFacts, now: datetime) -> dict[str, Any]:
    """Returns what may be said of a run to everybody: nothing in it is about one site.

    Args:
        run: The run.
        now: The present (aware).

    Returns:
        Times in seconds or as ISO 8601; bytes of all sites together; None for what is not known.
    """
    outcome, progress = run.outcome, run.progress
    planned = progress.rounds_planned if progress else outcome.rounds_planned if outcome else None
    return {
        "run_key": run.run_key,
        "job_name": outcome.job_name if outcome else None,
        "job_id": outcome.job_id if outcome else None,
        "status": outcome.status if outcome else "unfinished",
        "goes_on": progress is not None,
        "rounds_planned": planned,
        "rounds_committed": outcome.rounds_committed if outcome else 0,
        "attempts": progress.attempts if progress else max(len(outcome.attempts), 1) if outcome else None,
        "started": outcome.started.isoformat(timespec="seconds") if outcome else None,
        "finished": outcome.finished.isoformat(timespec="seconds") if outcome and run.is_over else None,
        "best_round": outcome.best_round if outcome else None,
        "bytes_up": all_bytes_up(outcome) if outcome else None,
        "bytes_down": all_bytes_down(outcome) if outcome else None,
        "now": _now(progress, now) if progress else None,
    }


def _now(progress: Progress, now: datetime) -> dict[str, Any]:
    """Returns where a run is that goes on; the seconds left are an estimate, see `Progress.seconds_left`."""
    left = progress.seconds_left(now.timestamp())
    ends = max((wait.until for wait in progress.waits), default=None)
    return {
        "round": progress.round,
        "phase": progress.phase,
        "estimated_seconds_left": None if left is None else round(left),
        "waits_until": None if ends is None else datetime.fromtimestamp(ends, now.tzinfo).isoformat(timespec="seconds"),
    }


def privacy_of(run: RunFacts, in_words: bool) -> dict[str, Any]:
    """Returns what a run claims, and what the server's ledger has of it where that is about all hospitals alike.

    Args:
        run: One with a record.
        in_words: Whether to say why there is no guarantee: those words may name sites.
    """
    text, planned = (run.outcome.privacy, run.outcome.guarantee) if run.outcome else (NO_GUARANTEE, None)
    plain = text if in_words or planned or text == PUBLIC_DATA else NO_GUARANTEE
    released = spent(run.received.released, planned) if planned and planned.unit == "hospital" else None
    return {"said": plain, "planned": _whole(planned), "released": _whole(released)}


def dice_of(run: RunFacts) -> list[ValidationPoint]:
    """Returns the scores of every validated round, in order; of each round those sites that have one."""
    records = run.outcome.rounds if run.outcome else ()
    kept = {one.round: _point(one) for one in records if one.validation}
    shown = {point.round: point for point in (run.progress.validation if run.progress else ())}
    return [_scored(point) for _, point in sorted((kept | shown).items())]


def _point(record: RoundRecord) -> ValidationPoint:
    sites = {site: mean_dice({site: score}) for site, score in record.validation.items()}
    return ValidationPoint(round=record.round, mean_dice=mean_dice(record.validation), sites=sites)


def _scored(point: ValidationPoint) -> ValidationPoint:
    return point.model_copy(update={"sites": {site: dice for site, dice in point.sites.items() if dice is not None}})


def _whole(guarantee: Guarantee | None) -> dict[str, Any] | None:
    """Returns a claim with all of its words: an epsilon never goes alone."""
    return guarantee.model_dump(mode="json") | {"said": guarantee.said()} if guarantee else None


def state_of(run: RunFacts, site: str) -> tuple[str | None, str | None]:
    """Returns what a site is at in a run, or was in its last round, and why where it gave no usable answer."""
    shown = run.progress.sites.get(site) if run.progress else None
    if shown:
        return shown.state, shown.reason
    last = run.outcome.rounds[-1] if run.outcome and run.outcome.rounds else None
    if last is None:
        return None, None
    for state, reasons in (("refused", last.refused), ("missing", last.missing), ("not_selected", last.not_selected)):
        if site in reasons:
            return state, reasons[site]
    if site in last.contributed:
        return "replied", None
    return ("evaluation_only", None) if site in last.evaluation_only else (None, None)


def site_figures(run: RunFacts, site: str) -> dict[str, Any]:
    """Returns the numbers of one site in a run; its epsilon only as the server's ledger has it, with all of its words.

    Returns:
        Counts of rounds; `dice`, the mean over classes of each round that the site validated, and its last one.
    """
    outcome = run.outcome
    records = outcome.rounds if outcome else ()
    dice = [{"round": point.round, "dice": point.sites[site]} for point in dice_of(run) if site in point.sites]
    planned = outcome.guarantee if outcome else None
    events = run.received.by_site.get(site, ())
    own = spent(events, planned) if planned and planned.unit == "patient" else None
    return {
        "rounds_contributed": sum(site in one.contributed for one in records),
        "rounds_missing": sum(site in one.missing for one in records),
        "rounds_refused": sum(site in one.refused for one in records),
        "last_dice": dice[-1]["dice"] if dice else None,
        "dice": dice,
        "private_updates": len(events),
        "spent": _whole(own),
    }
