"""Puts a run's outcome and its comparisons into one report: `report.json` for programs, `report.html` for people.

The report says what may be claimed and what not: with fewer than ten unseen cases in all it makes no quality claim,
with fewer than five at a hospital none about that hospital. It holds means and intervals, never a single case.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt

from fedvoxel.config import FrozenModel
from fedvoxel.errors import ConfigError
from fedvoxel.evaluation.attacks.audit_lines import failures
from fedvoxel.evaluation.attacks.findings import PrivacyAudit
from fedvoxel.evaluation.baseline import Baseline
from fedvoxel.evaluation.caveats import FEWEST_CASES_OF_A_RUN, caveats_of, comparable, mismatch_warnings
from fedvoxel.evaluation.figures import Picture
from fedvoxel.evaluation.gain import Gain, compare
from fedvoxel.evaluation.privacy_words import comparison_caveats
from fedvoxel.evaluation.summary import summarise
from fedvoxel.federation.outcome import ClassScore, Dice, RunOutcome, SiteScore
from fedvoxel.records.atomic import write_json, write_text

ModelName = Literal["federated", "personal", "local", "pooled"]


class ResultRow(FrozenModel):
    """Holds how well one model does on one class of one site's unseen cases."""

    site: str
    class_name: str
    model: ModelName
    score: ClassScore


class Overall(FrozenModel):
    """Holds the federated model's mean Dice of one class over the unseen cases of all sites."""

    class_name: str
    cases: NonNegativeInt
    dice_mean: Dice


class Report(FrozenModel):
    """Is the whole report, as `report.json` holds it.

    Attributes:
        headline: How the run ended, in a sentence.
        quality_claim: Whether there are enough unseen cases to claim anything.
        overall: Mean Dice per class over all sites' unseen cases.
        rows: Scores per site, class and model.
        gains: The paired comparisons, with their sentences.
        caveats: What a reader must know before believing the numbers.
        run: The outcome itself.
        audits: What attacks at hospitals found: figures, never a scan.
    """

    schema_version: Literal[1] = 1
    headline: str
    quality_claim: bool
    overall: tuple[Overall, ...]
    rows: tuple[ResultRow, ...]
    gains: tuple[Gain, ...]
    caveats: tuple[str, ...]
    run: RunOutcome
    audits: tuple[PrivacyAudit, ...] = ()


@dataclass(frozen=True)
class ReportPaths:
    """Holds where a report was written."""

    html: Path
    json: Path


def build_report(
    outcome: RunOutcome,
    baselines: Sequence[Baseline] = (),
    warnings: Sequence[str] = (),
    audits: Sequence[PrivacyAudit] = (),
) -> Report:
    """Builds the report of a run.

    Args:
        outcome: The run.
        baselines: Local-only and pooled models to compare with; at most one of a kind per site.
        warnings: Further caveats, such as a model file that is not the one that the run wrote.
        audits: Privacy audits of this run, at most one of each site.

    Raises:
        ConfigError: A baseline is about a site that is not in the run, or two are about the same thing; or an audit is.
    """
    _check_baselines(outcome, baselines)
    _check_audits(outcome, audits)
    claim = sum(score.cases for score in outcome.test.values()) >= FEWEST_CASES_OF_A_RUN
    return Report(
        headline=_headline(outcome),
        quality_claim=claim,
        overall=_overall(outcome),
        rows=(
            *_run_rows("federated", outcome.test),
            *_run_rows("personal", outcome.personal),
            *(row for baseline in baselines for row in _baseline_rows(baseline)),
        ),
        gains=tuple(gain for baseline in baselines for gain in _gains(outcome, baseline, claim)),
        caveats=(
            *warnings,
            *failures(audits),
            *caveats_of(outcome),
            *mismatch_warnings(outcome, baselines),
            *comparison_caveats(outcome, baselines),
        ),
        run=outcome,
        audits=tuple(audits),
    )


def write_report(folder: Path, report: Report, pictures: Sequence[Picture]) -> ReportPaths:
    """Writes `report.json` and the self-contained `report.html` into `folder`, atomically, replacing older ones.

    Raises:
        OSError: The folder cannot be written.
    """
    from fedvoxel.evaluation.page import render_page

    paths = ReportPaths(folder / "report.html", folder / "report.json")
    write_text(paths.html, render_page(report, pictures))
    write_json(paths.json, report.model_dump(mode="json"))
    return paths


def _check_baselines(outcome: RunOutcome, baselines: Sequence[Baseline]) -> None:
    seen: set[tuple[str, str]] = set()
    for baseline in baselines:
        for site in baseline.judged_sites():
            if site not in outcome.sites:
                sites = ", ".join(outcome.sites)
                raise ConfigError(
                    f"a {baseline.kind} baseline is about {site}, which is not in this run (sites: {sites})"
                )
            if (baseline.kind, site) in seen:
                raise ConfigError(f"two {baseline.kind} baselines are about {site}: give one")
            seen.add((baseline.kind, site))


def _check_audits(outcome: RunOutcome, audits: Sequence[PrivacyAudit]) -> None:
    sites = [audit.site for audit in audits]
    for audit in audits:
        if (audit.run_key, audit.job_id) != (outcome.run_key, outcome.job_id):
            raise ConfigError(f"an audit is about run {audit.run_key}, job {audit.job_id}, which is another than this")
        if audit.site not in outcome.sites or sites.count(audit.site) > 1:
            raise ConfigError(f"expected one audit for each of {', '.join(outcome.sites)}, got {', '.join(sites)}")


def _headline(outcome: RunOutcome) -> str:
    rounds = f"{outcome.rounds_committed} of {outcome.rounds_planned} rounds"
    sites = f"{len(outcome.sites)} hospital" + ("" if len(outcome.sites) == 1 else "s")
    reason = f": {outcome.reason.rstrip('.')}" if outcome.reason else ""
    said = {
        "finished": f"Finished: {rounds} with {sites}",
        "stopped_early": f"Stopped early, as the job asked, after {rounds} with {sites}",
        "failed": f"Failed after {rounds} with {sites}",
        "aborted": f"Aborted after {rounds} with {sites}",
        "unfinished": f"Not finished; {rounds} with {sites} until now",
    }
    return f"{said[outcome.status]}{reason}."


def _overall(outcome: RunOutcome) -> tuple[Overall, ...]:
    sums: dict[str, tuple[int, float]] = {}
    for site in outcome.test.values():
        for name, score in site.classes.items():
            if score.dice_mean is not None:
                cases, total = sums.get(name, (0, 0.0))
                sums[name] = (cases + score.cases, total + score.cases * score.dice_mean)
    return tuple(
        Overall(class_name=name, cases=cases, dice_mean=min(total / cases, 1.0))
        for name, (cases, total) in sums.items()
    )


def _run_rows(model: ModelName, scored: Mapping[str, SiteScore]) -> tuple[ResultRow, ...]:
    return tuple(
        ResultRow(site=site, class_name=name, model=model, score=score)
        for site, scores in sorted(scored.items())
        for name, score in scores.classes.items()
    )


def _baseline_rows(baseline: Baseline) -> tuple[ResultRow, ...]:
    return tuple(
        ResultRow(site=site, class_name=name, model=baseline.kind, score=score)
        for site in baseline.judged_sites()
        for name, score in summarise(baseline.scores(site)).classes.items()
    )


def _gains(outcome: RunOutcome, baseline: Baseline, claim: bool) -> tuple[Gain, ...]:
    return tuple(
        gain
        for site in baseline.judged_sites()
        if baseline.federated_scores(site) and comparable(outcome, baseline, site)
        for gain in compare(site, baseline.kind, baseline.federated_scores(site), baseline.scores(site), claim)
    )
