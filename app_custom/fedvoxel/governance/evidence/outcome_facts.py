"""What of a run's outcome goes into a pack: sites by pseudonym, no reason in words, no number about a few cases."""

from collections.abc import Mapping
from typing import Any

from fedvoxel.federation.case_counts import tells_case_counts
from fedvoxel.federation.outcome import ClassScore, RunOutcome, SiteScore

MINIMUM_CASES = 5
"""No number in a pack is about fewer cases of one hospital; a hospital's own minimum may be larger."""

_DIGITS = 4


def outcome_facts(run: RunOutcome, pseudonyms: Mapping[str, str]) -> dict[str, Any]:
    """Returns what a pack says of an outcome, as JSON values."""
    said = ("run_key", "job_id", "job_name", "status", "rounds_planned", "rounds_committed", "best_round")
    return {
        **{name: getattr(run, name) for name in said},
        "started": run.started.isoformat(),
        "finished": run.finished.isoformat(),
        "seconds": round((run.finished - run.started).total_seconds(), 1),
        "bytes_up": sum(record.bytes_up for record in run.rounds),
        "bytes_down": sum(record.bytes_down for record in run.rounds),
        "minimum_cases": MINIMUM_CASES,
        # In the order of pseudonyms: that of the names would tell whose they are.
        "sites": {pseudonym: _site(run, site) for site, pseudonym in pseudonyms.items()},
        "privacy": run.privacy,
        "guarantee": run.guarantee and run.guarantee.model_dump(mode="json"),
        "channels": [channel.model_dump(mode="json") for channel in run.channels],
        "start_from": run.start_from and run.start_from.model_dump(mode="json"),
        "versions": run.versions,
    }


def _site(run: RunOutcome, site: str) -> dict[str, Any]:
    counts = [record.contributed[site] for record in run.rounds if site in record.contributed]
    told = counts[-1] if counts and tells_case_counts(run) else None
    refused, score = run.refused_cases.get(site), run.test.get(site)
    return {
        "rounds_contributed": len(counts),
        "rounds_missing": sum(site in record.missing for record in run.rounds),
        "rounds_refused": sum(site in record.refused for record in run.rounds),
        "training_cases": enough(told),
        "unusable_cases": refused if refused == 0 else enough(refused),
        "test": score_facts(score) if score else None,
        "fedvoxel": run.site_versions.get(site),
    }


def enough(count: int | None) -> int | None:
    """Returns a number of cases that may be told; None for one about too few."""
    return count if count is not None and count >= MINIMUM_CASES else None


def score_facts(score: SiteScore) -> dict[str, Any] | None:
    """Returns a hospital's scores without a number about a few cases; None where there are too few in all."""
    if score.cases < MINIMUM_CASES:
        return None
    classes = {name: _class(one) for name, one in score.classes.items() if _may_be_told(one.cases, score.cases)}
    return {"cases": score.cases, "classes": classes}


def _may_be_told(cases: int, of: int) -> bool:
    """Says whether enough cases have the class, and enough of the others have not, or all have."""
    return cases >= MINIMUM_CASES and (of - cases == 0 or of - cases >= MINIMUM_CASES)


def _class(score: ClassScore) -> dict[str, Any]:
    values = score.model_dump(mode="json")
    return {name: round(value, _DIGITS) if isinstance(value, float) else value for name, value in values.items()}
