"""Renders a report as one HTML file that needs nothing else: no script, no outside resource, pictures inside.

Everything that came from a site or a job is escaped by the template engine.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

from fedvoxel.evaluation.attacks.audit_lines import audit_lines, verdict
from fedvoxel.evaluation.figures import Picture
from fedvoxel.evaluation.gain import signed
from fedvoxel.evaluation.privacy_words import what_left
from fedvoxel.federation.case_counts import tells_case_counts
from fedvoxel.federation.mean_dice import mean_dice
from fedvoxel.federation.outcome import ClassScore, RunOutcome
from fedvoxel.privacy.guarantee import rounded_up

if TYPE_CHECKING:
    from fedvoxel.evaluation.report import ModelName, Report

MODEL_TITLES: dict["ModelName", str] = {
    "federated": "Federated",
    "personal": "Own, personal",
    "local": "Local only",
    "pooled": "Centralised",
}
"""The models in the order of the table's columns."""

_UNKNOWN = "\N{EN DASH}"


@dataclass(frozen=True)
class TableLine:
    """Holds one line of the table of scores: a site and a class, with a cell of Dice and of HD95 per model."""

    site: str
    class_name: str
    cases: int
    cells: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SiteLine:
    """Holds one line of the table of participants."""

    site: str
    training_cases: str
    refused_cases: str
    test_cases: str
    contributed: int
    absent: str


def render_page(report: "Report", pictures: Sequence[Picture]) -> str:
    """Renders the report with its pictures as HTML.

    Args:
        report: What to show.
        pictures: PNG pictures in the order in which they are shown.
    """
    from jinja2 import Environment, StrictUndefined

    template = files("fedvoxel.evaluation").joinpath("report_template.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        report=report,
        run=report.run,
        models=[MODEL_TITLES[model] for model in shown_models(report)],
        lines=score_table(report),
        sites=[_site_line(report.run, site) for site in report.run.sites],
        minutes=f"{(report.run.finished - report.run.started).total_seconds() / 60.0:.1f}",
        pictures=[(picture, base64.b64encode(picture.png).decode("ascii")) for picture in pictures],
        number=_number,
        mean_dice=mean_dice,
        what_left=what_left(report.run),
        epsilon=report.run.guarantee and rounded_up(report.run.guarantee.epsilon),
        signed=signed,
        audit_lines=audit_lines,
        verdict=verdict,
    )


def shown_models(report: "Report") -> tuple["ModelName", ...]:
    """Returns the models that the report has scores of, the federated one always first."""
    present = {row.model for row in report.rows}
    return tuple(model for model in MODEL_TITLES if model in present)


def score_table(report: "Report") -> tuple[TableLine, ...]:
    """Returns the lines of the table of scores, by site and class, as text."""
    found = {(row.site, row.class_name, row.model): row.score for row in report.rows}
    keys = dict.fromkeys((row.site, row.class_name) for row in report.rows)
    lines = []
    for site, name in keys:
        scores = [found.get((site, name, model)) for model in shown_models(report)]
        cases = max(score.cases for score in scores if score is not None)
        lines.append(TableLine(site, name, cases, tuple((dice_text(score), distance_text(score)) for score in scores)))
    return tuple(lines)


def dice_text(score: ClassScore | None) -> str:
    """Returns mean Dice with its interval: "0.871 (0.853 to 0.889)"; a dash where nothing can be said."""
    if score is None or score.dice_mean is None:
        return _UNKNOWN
    if score.dice_low is None:
        return f"{score.dice_mean:.3f}"
    return f"{score.dice_mean:.3f} ({score.dice_low:.3f} to {score.dice_high:.3f})"


def distance_text(score: ClassScore | None) -> str:
    """Returns the median HD95 in mm with one decimal; a dash where it is undefined."""
    return _UNKNOWN if score is None or score.hd95_mm_median is None else f"{score.hd95_mm_median:.1f}"


def _site_line(run: RunOutcome, site: str) -> SiteLine:
    counts = [record.contributed[site] for record in run.rounds if site in record.contributed]
    only = any(site in record.evaluation_only for record in run.rounds)
    tested = run.test.get(site)
    return SiteLine(
        site=site,
        training_cases=_training_cases(run, counts, only),
        refused_cases=str(run.refused_cases.get(site, _UNKNOWN)),
        test_cases=_UNKNOWN if tested is None else str(tested.cases),
        contributed=len(counts),
        absent=_absences(run, site),
    )


def _training_cases(run: RunOutcome, counts: Sequence[int], only: bool) -> str:
    if not counts:
        return "evaluation only" if only else _UNKNOWN
    # Under privacy every site has the same weight, which is no number of cases.
    return str(counts[-1]) if tells_case_counts(run) else "not told"


def _absences(run: RunOutcome, site: str) -> str:
    by_reason: dict[str, list[int]] = {}
    for record in run.rounds:
        after = record.afterwards
        told = {"missing": record.missing, "refused": record.refused}
        told |= {"missing after the sum": after.missing, "refused after the sum": after.refused}
        for word, reasons in told.items():
            if site in reasons:
                by_reason.setdefault(f"{word}: {reasons[site]}", []).append(record.round)
        if site in record.slow:
            by_reason.setdefault(record.slow[site], []).append(record.round)
    said = [
        f"round{'s' if len(rounds) > 1 else ''} {', '.join(map(str, rounds))} {reason}"
        for reason, rounds in by_reason.items()
    ]
    for name, absences in (("last validation", run.unvalidated), ("test", run.untested)):
        if absences and site in absences.said:
            said.append(f"{name} {absences.said[site]}")
    return "; ".join(said)


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.3f}"
