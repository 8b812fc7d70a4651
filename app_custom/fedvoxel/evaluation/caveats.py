"""Says in sentences what a reader must know before believing a run's numbers."""

from collections.abc import Sequence

from fedvoxel.evaluation.baseline import Baseline
from fedvoxel.evaluation.gain import FEWEST_CASES_OF_A_SITE
from fedvoxel.evaluation.summary import summarise
from fedvoxel.federation.outcome import RunOutcome

FEWEST_CASES_OF_A_RUN = 10
"""With fewer unseen cases in all, a run makes no quality claim."""

_SAME_DICE = 0.005  # threads and hardware change a Dice by less; another model by more


def caveats_of(outcome: RunOutcome) -> tuple[str, ...]:
    """Returns the caveats that follow from the outcome alone: too few cases, silent sites, lost rounds, bad cases."""
    return (*_too_few(outcome), *_untested(outcome), *_lost_sites(outcome), *_refused_cases(outcome))


def comparable(outcome: RunOutcome, baseline: Baseline, site: str) -> bool:
    """Says whether the baseline was compared with this run's model on its cases, as far as summaries can tell."""
    scores = baseline.federated_scores(site)
    reported = outcome.test.get(site)
    if not scores or reported is None:
        return True
    again = summarise(scores)
    if again.cases != reported.cases or set(again.classes) != set(reported.classes):
        return False
    pairs = ((again.classes[name].dice_mean, score.dice_mean) for name, score in reported.classes.items())
    return all(mine is None or theirs is None or abs(mine - theirs) <= _SAME_DICE for mine, theirs in pairs)


def mismatch_warnings(outcome: RunOutcome, baselines: Sequence[Baseline]) -> tuple[str, ...]:
    """Returns a warning for each baseline that was compared with another federated model or on other cases."""
    lines = []
    for baseline in baselines:
        odd = [site for site in baseline.judged_sites() if not comparable(outcome, baseline, site)]
        if odd:
            lines.append(
                f"The {baseline.kind} baseline was compared with another federated model, or on other cases, than this "
                f"run's at {', '.join(odd)}: that comparison is left out."
            )
    return tuple(lines)


def _too_few(outcome: RunOutcome) -> list[str]:
    total = sum(score.cases for score in outcome.test.values())
    if total == 0 and outcome.guarantee is not None:
        return [
            "Scores would leave without a guarantee, so that none did: each hospital scores the model on its own "
            "unseen patients with `fedvoxel site score`."
        ]
    if total == 0:
        return ["No model was tested on unseen cases: nothing can be said about quality."]
    if total < FEWEST_CASES_OF_A_RUN:
        return [f"Only {_cases(total)} in all (fewer than {FEWEST_CASES_OF_A_RUN}): this run makes no quality claim."]
    few = {site: score.cases for site, score in outcome.test.items() if score.cases < FEWEST_CASES_OF_A_SITE}
    return [f"{site} has {_cases(count)}: nothing is claimed about it." for site, count in few.items()]


def _untested(outcome: RunOutcome) -> list[str]:
    unvalidated = outcome.unvalidated.said if outcome.unvalidated else {}
    untested = outcome.untested.said if outcome.untested else {}
    lines = [f"No score of the last model's validation came from {site} ({why})." for site, why in unvalidated.items()]
    lines += [f"No test scores came from {site} ({why})." for site, why in untested.items()]
    silent = [site for site in outcome.sites if site not in outcome.test and site not in untested]
    if outcome.test and silent:
        lines.append(f"No test scores came from {', '.join(silent)}.")
    return lines


def _lost_sites(outcome: RunOutcome) -> list[str]:
    lines = []
    for site in outcome.sites:
        missing = [str(record.round) for record in outcome.rounds if site in record.missing]
        refused = [str(record.round) for record in outcome.rounds if site in record.refused]
        for word, rounds in (("was missing", missing), ("was refused", refused)):
            if rounds:
                plural = "round" if len(rounds) == 1 else "rounds"
                lines.append(f"{site} {word} in {plural} {', '.join(rounds)} (0 is the first).")
    return lines


def _refused_cases(outcome: RunOutcome) -> list[str]:
    return [
        f"{site} could not use {count} of its cases: `fedvoxel cohort check` there says which and why."
        for site, count in outcome.refused_cases.items()
        if count
    ]


def _cases(count: int) -> str:
    return "1 unseen case" if count == 1 else f"{count} unseen cases"
