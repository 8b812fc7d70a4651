"""What a report says about a run's privacy beside the claim itself, which is the outcome's alone."""

from collections.abc import Sequence

from fedvoxel.evaluation.baseline import Baseline
from fedvoxel.federation.case_counts import tells_case_counts, was_masked
from fedvoxel.federation.outcome import RunOutcome
from fedvoxel.privacy.guarantee import PUBLIC_DATA, PrivacyUnit

_UPDATES: dict[PrivacyUnit, str] = {
    "patient": "updates that were clipped and noised at each hospital",
    "hospital": "clipped updates, which the server saw before it added the noise",
}


def what_left(run: RunOutcome) -> str:
    """Returns a sentence on what left the hospitals."""
    if run.guarantee and was_masked(run):
        return "What left are masked updates, of which the server saw sums alone; no case count, loss or score did."
    if run.guarantee:
        return f"What left are {_UPDATES[run.guarantee.unit]}; no case count, loss or score did."
    shown = "Model updates, case counts, losses and the scores shown here did"
    if run.privacy == PUBLIC_DATA:
        return f"{shown}, all of them made from cases that their hospitals declare public."
    if was_masked(run):
        return (
            "Masked updates, of which the server learned sums alone, and the scores shown here did; a sum can reveal "
            "something about the cases behind it, and this run puts no bound on that."
        )
    if not tells_case_counts(run):
        shown = "Model updates did"
    return f"{shown}; updates can reveal something about the cases behind them, and this run puts no bound on that."


def comparison_caveats(run: RunOutcome, baselines: Sequence[Baseline]) -> tuple[str, ...]:
    """Returns what a guarantee does not cover in a report that compares with other models."""
    if run.guarantee is None or not baselines:
        return ()
    sites = sorted({site for baseline in baselines for site in baseline.judged_sites()})
    return (
        f"The comparisons with other models were made from the own cases of {', '.join(sites)}, without noise: the "
        "run's privacy guarantee does not cover them, nor whoever is shown this report.",
    )
