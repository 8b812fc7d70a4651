"""Puts the runs of several jobs into one table, and says for each hospital what each job is worth to it.

Intervals are about the choice of cases: each case is averaged over seeds first, and pairs are of the same case. Where
the scores of single cases are not at hand, means stand alone and nothing is claimed of a difference.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import mean

from fedvoxel.evaluation.baseline import BaselineKind
from fedvoxel.evaluation.caveats import FEWEST_CASES_OF_A_RUN
from fedvoxel.evaluation.comparison.case_means import difference_of, known_mean, mean_cases, mean_of
from fedvoxel.evaluation.comparison.ground import check_same_tests
from fedvoxel.evaluation.comparison.result import Comparison, Difference, JobGain, JobRow
from fedvoxel.evaluation.comparison.trial import SiteCaseScores, Trial
from fedvoxel.evaluation.gain import compare
from fedvoxel.federation.mean_dice import mean_dice
from fedvoxel.federation.outcome import SiteScore, ValidationScore
from fedvoxel.federation.sent_bytes import all_bytes_down, all_bytes_up

Reference = Mapping[int, SiteCaseScores]
"""Scores of single cases by seed and hospital."""


@dataclass(frozen=True)
class References:
    """Holds what the jobs are compared with, as far as the hospitals' kits are at hand.

    Attributes:
        local: Each hospital's own model on its own cases.
        pooled: One model of everybody's cases.
    """

    local: Reference = field(default_factory=dict)
    pooled: Reference = field(default_factory=dict)


def compare_jobs(
    cohort: str, classes: Sequence[str], trials: Sequence[Trial], references: References | None = None
) -> Comparison:
    """Builds the comparison.

    Args:
        cohort: The cohort that all jobs name.
        classes: The classes that all jobs segment.
        trials: Every job with every seed.
        references: Models to compare with, of the same seeds; None where no hospital's kit is at hand.

    Raises:
        ConfigError: The runs were not scored on the same cases.
    """
    check_same_tests(trials)
    references = references or References()
    jobs = {name: [trial for trial in trials if trial.job == name] for name in dict.fromkeys(t.job for t in trials)}
    claim = sum(trials[0].counts.values()) >= FEWEST_CASES_OF_A_RUN
    cases = {name: mean_cases([trial.cases for trial in found]) for name, found in jobs.items()}
    first = next(iter(jobs))
    pooled = mean_cases(list(references.pooled.values()))
    return Comparison(
        cohort=cohort,
        classes=tuple(classes),
        seeds=tuple(dict.fromkeys(trial.seed for trial in trials)),
        rows=tuple(_row(name, found) for name, found in jobs.items()),
        pooled=mean_of(pooled),
        differences=tuple(_difference(name, first, cases[name], cases[first]) for name in jobs if name != first),
        gains=tuple(gain for name in jobs for gain in _gains(name, cases[name], references, claim)),
        caveats=_caveats(jobs, references, claim),
    )


def _row(name: str, trials: Sequence[Trial]) -> JobRow:
    sites = {site: known_mean([_site_dice(trial.scores[site]) for trial in trials]) for site in trials[0].scores}
    known = {site: dice for site, dice in sites.items() if dice is not None}
    by_seed = tuple(mean_dice({site: _validation(score) for site, score in t.scores.items()}) for t in trials)
    rounds = [trial.outcome.rounds for trial in trials]
    return JobRow(
        job=name,
        dice=known_mean(by_seed),
        dice_by_seed=by_seed,
        sites=sites,
        worst_site=min(known, key=lambda site: known[site]) if known else None,
        personal=trials[0].personal,
        bytes_up=mean(all_bytes_up(trial.outcome) for trial in trials),
        bytes_down=mean(all_bytes_down(trial.outcome) for trial in trials),
        seconds=mean(sum(record.seconds for record in found) for found in rounds),
        curve=tuple(known_mean([mean_dice(r.validation) for r in records]) for records in zip(*rounds, strict=False)),
    )


def _gains(name: str, cases: SiteCaseScores, references: References, claim: bool) -> list[JobGain]:
    kinds: tuple[tuple[BaselineKind, Reference], ...] = (("local", references.local), ("pooled", references.pooled))
    found = []
    for kind, reference in kinds:
        others = mean_cases(list(reference.values()))
        for site in cases.keys() & others.keys():
            overall = compare(site, kind, cases[site], others[site], claim)[0]
            found.append(JobGain(job=name, gain=overall))
    return sorted(found, key=lambda one: (one.gain.against, one.gain.site))


def _difference(name: str, other: str, mine: SiteCaseScores, theirs: SiteCaseScores) -> Difference:
    found = difference_of(mine, theirs)
    return Difference(job=name, other=other, cases=found.cases, mean=found.mean, low=found.low, high=found.high)


def _site_dice(score: SiteScore) -> float | None:
    return mean_dice({"": _validation(score)})


def _validation(score: SiteScore) -> ValidationScore:
    return ValidationScore(cases=score.cases, dice={name: found.dice_mean for name, found in score.classes.items()})


def _caveats(jobs: Mapping[str, Sequence[Trial]], references: References, claim: bool) -> tuple[str, ...]:
    trials = [trial for found in jobs.values() for trial in found]
    lines = []
    if not claim:
        lines.append(f"Fewer than {FEWEST_CASES_OF_A_RUN} unseen cases in all: nothing is claimed.")
    if len(trials) == len(jobs):
        lines.append("One seed: another seed may change the order of jobs that lie close together.")
    if not all(trial.cases for trial in trials):
        lines.append("Scores of single cases are not at hand (name hospitals' kits with --site): no intervals.")
    if references.local or references.pooled:
        first = next(iter(jobs))
        lines.append(f"Local-only and pooled models were trained with the network and optimiser of {first}.")
    absent = [
        trial.name for trial in trials if any(record.missing or record.refused for record in trial.outcome.rounds)
    ]
    if absent:
        lines.append(f"A hospital was missing or refused in some round of {', '.join(absent)}.")
    return tuple(lines)
